package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
)

func TestPromoteMovesNoLayer(t *testing.T) {
	dir, reg := project(t), realRegistry(t, nil)
	built := mustBuild(t, dir, "--registry", reg+"/dev", "--plain-http")
	var p build.Promotion
	if code, stderr := builderRun(t, &p, "promote", reg+"/dev/game:1", reg+"/prod/game:stable", "--plain-http"); code != 0 {
		t.Fatalf("promote: exit %d\n%s", code, stderr)
	}
	if p.Digest != built.Digest || p.PushedBytes != 0 || p.Attached != 5 {
		t.Errorf("promoted %+v, want digest %s, nothing pushed, and lock, files, provenance and two bills of materials attached", p, built.Digest)
	}
	if code, stderr := builderRun(t, nil, "verify", reg+"/prod/game:stable", "--plain-http"); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, stderr)
	}
	forget(t, dir)
	write(t, dir, "assets/tex/c.png", noise(99))
	if res := mustBuild(t, dir, "--registry", reg+"/prod", "--plain-http", "--from", "stable"); res.PushedBytes > 420_000 {
		t.Errorf("pushed %d bytes: the lock did not come along", res.PushedBytes)
	}
}

func TestPromoteRefusesADamagedImage(t *testing.T) {
	dir := project(t)
	out, dest := filepath.Join(t.TempDir(), "a.oci"), filepath.Join(t.TempDir(), "b.oci")
	mustBuild(t, dir, "--layout", out)
	largest := ""
	var most int64
	blobs, err := os.ReadDir(filepath.Join(out, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		if info, err := b.Info(); err == nil && info.Size() > most {
			most, largest = info.Size(), filepath.Join(out, "blobs", "sha256", b.Name())
		}
	}
	raw, err := os.ReadFile(largest)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(largest, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stderr := builderRun(t, nil, "promote", "oci:"+out+":1", "oci:"+dest+":1")
	if code != 3 || !strings.Contains(stderr, filepath.Base(largest)) {
		t.Errorf("exit %d, want 3 and the layer's digest\n%s", code, stderr)
	}
	if code, _ := builderRun(t, nil, "inspect", "oci:"+dest+":1"); code == 0 {
		t.Error("a tag was published")
	}
}

func TestADestinationNeedsATag(t *testing.T) {
	for _, dest := range []string{"127.0.0.1:1/a", "127.0.0.1:1/a@sha256:00", "oci:dir"} {
		if code, stderr := builderRun(t, nil, "promote", "oci:x:1", dest); code != 2 || !strings.Contains(stderr, "has no tag") {
			t.Errorf("promote to %s: exit %d\n%s", dest, code, stderr)
		}
	}
}

func TestWhatIsAttachedToAnArtifactIsCopiedToo(t *testing.T) {
	from, err := layout.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	to, err := layout.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	image, err := from.PutManifest(t.Context(), "application/vnd.oci.image.index.v1+json", raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.PutManifest(t.Context(), "application/vnd.oci.image.index.v1+json", raw); err != nil {
		t.Fatal(err)
	}
	bill, err := attach.Put(t.Context(), from, image, "application/bill", []attach.Part{{MediaType: "text/plain", Content: []byte("bill")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attach.Put(t.Context(), from, bill, "application/signature", []attach.Part{{MediaType: "text/plain", Content: []byte("signed")}}); err != nil {
		t.Fatal(err)
	}
	// What is there already, though of the same type, stays.
	if _, err := attach.Put(t.Context(), to, bill, "application/signature", []attach.Part{{MediaType: "text/plain", Content: []byte("another")}}); err != nil {
		t.Fatal(err)
	}
	if n, err := attach.Copy(t.Context(), from, to, image.Digest); n != 2 || err != nil {
		t.Fatalf("Copy = %d, %v, want 2 artifacts", n, err)
	}
	signatures, err := attach.List(t.Context(), to, bill.Digest, "application/signature")
	if err != nil || len(signatures) != 2 {
		t.Errorf("signatures of the bill: %v, %v, want both", signatures, err)
	}
}
