package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
)

const lockType = "application/vnd.dev.pitcrew.assets-lock.v1"

// forget makes the machine a fresh one, without even the lock file.
func forget(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{".cache", "assets.lock"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMachineWithoutTheLockGoesOnFromTheRegistry(t *testing.T) {
	server := realRegistry(t, nil) // keeps no list of referrers: the fallback by tag is used
	for name, reg := range map[string]string{"a list by tag": server + "/games", "the referrers API": testRegistry(t)} {
		t.Run(name, func(t *testing.T) {
			dir := project(t)
			flags := []string{"--registry", reg, "--plain-http"}
			mustBuild(t, dir, flags...)
			first, err := os.ReadFile(filepath.Join(dir, "assets.lock"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "assets/tex/c.png", noise(99))
			forget(t, dir)
			res := mustBuild(t, dir, append(flags, "--tag", "1", "--tag", "2")...)
			if res.PushedBytes > 420_000 {
				t.Errorf("pushed %d bytes for a texture of 400,000", res.PushedBytes)
			}
			forget(t, dir)
			write(t, dir, "assets.lock", string(first))
			if with := mustBuild(t, dir, append(flags, "--tag", "3")...); with.Digest != res.Digest {
				t.Errorf("with the lock file: %s, from the registry alone: %s", with.Digest, res.Digest)
			}
			forget(t, dir)
			if again := mustBuild(t, dir, append(flags, "--from", "2", "--tag", "4")...); again.Digest != res.Digest || again.PushedBytes != 0 {
				t.Errorf("--from: %s with %d bytes pushed, want %s and nothing", again.Digest, again.PushedBytes, res.Digest)
			}
		})
	}
}

// attached replaces the lock beside the image in a layout.
func attached(t *testing.T, dir string, text []byte) {
	t.Helper()
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	image, err := l.Head(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	parts := []attach.Part{{MediaType: lockType + "+zstd", Content: enc.EncodeAll(text, nil)}}
	if _, err := attach.Put(t.Context(), l, image, lockType, parts); err != nil {
		t.Fatal(err)
	}
	list, err := attach.List(t.Context(), l, image.Digest, lockType)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d locks are attached, %v, want the new one alone", len(list), err)
	}
}

func TestADamagedLockBesideAnImageIsAWarning(t *testing.T) {
	dir := project(t)
	out := filepath.Join(t.TempDir(), "out.oci")
	fresh := mustBuild(t, dir, "--layout", out)
	attached(t, out, []byte("# pitcrew assets.lock v1\nnonsense\n"))
	forget(t, dir)
	code, stderr := builderRun(t, nil, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--layout", out)
	if code != 0 || !strings.Contains(stderr, "planned afresh") {
		t.Errorf("exit %d, want a warning\n%s", code, stderr)
	}
	if again := mustBuild(t, dir, "--layout", out); again.Digest != fresh.Digest {
		t.Errorf("digest %s, want that of a fresh plan, %s", again.Digest, fresh.Digest)
	}
}

func TestALockOfAnotherImageIsAnError(t *testing.T) {
	dir := project(t)
	out := filepath.Join(t.TempDir(), "out.oci")
	mustBuild(t, dir, "--layout", out)
	raw, err := os.ReadFile(filepath.Join(dir, "assets.lock"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(raw), "\n")
	for i, line := range lines {
		if f := strings.Fields(line); len(f) == 8 && f[0] == "layer" {
			f[5] = "sha256:" + strings.Repeat("0", 64)
			lines[i] = strings.Join(f, " ")
			break
		}
	}
	attached(t, out, []byte(strings.Join(lines, "\n")))
	forget(t, dir)
	code, stderr := builderRun(t, nil, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--layout", out)
	if code != 3 || !strings.Contains(stderr, "asset layer 0 is sha256:000") || !strings.Contains(stderr, "--compact") {
		t.Errorf("exit %d, want 3, the difference, and the way out\n%s", code, stderr)
	}
}

func TestArtifactsComeBackAsTheyWerePut(t *testing.T) {
	l, err := layout.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	image, err := l.PutManifest(t.Context(), "application/vnd.oci.image.index.v1+json", raw)
	if err != nil {
		t.Fatal(err)
	}
	want := []attach.Part{{MediaType: "text/plain", Content: []byte("one")}, {MediaType: "text/plain", Content: []byte("two")}}
	for _, kind := range []string{"application/a", "application/b", "application/a"} {
		if _, err := attach.Put(t.Context(), l, image, kind, want); err != nil {
			t.Fatal(err)
		}
	}
	list, err := attach.List(t.Context(), l, image.Digest, "application/a")
	if err != nil || len(list) != 1 {
		t.Fatalf("List = %v, %v, want one artifact: the second took the first one's place", list, err)
	}
	got, err := attach.Read(t.Context(), l, list[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

func TestABuildGoesOnFromAnotherRepository(t *testing.T) {
	dir, server := project(t), realRegistry(t, nil)
	out := filepath.Join(t.TempDir(), "out.oci")
	mustBuild(t, dir, "--registry", server+"/dev", "--plain-http")
	write(t, dir, "assets/tex/c.png", noise(99)) // a base layer holds what is gone now
	dev := mustBuild(t, dir, "--registry", server+"/dev", "--plain-http")
	forget(t, dir)
	if prod := mustBuild(t, dir, "--registry", server+"/prod", "--plain-http", "--from", server+"/dev/game:1"); prod.Digest != dev.Digest {
		t.Errorf("in another repository: %s, want %s", prod.Digest, dev.Digest)
	}
	forget(t, dir)
	if copied := mustBuild(t, dir, "--layout", out, "--plain-http", "--from", server+"/dev/game:1"); copied.Digest != dev.Digest {
		t.Errorf("in a layout: %s, want %s", copied.Digest, dev.Digest)
	}
	for _, ref := range []string{server + "/prod/game:1", "oci:" + out + ":1"} {
		if code, stderr := builderRun(t, nil, "verify", ref, "--plain-http"); code != 0 {
			t.Errorf("verify %s: exit %d\n%s", ref, code, stderr)
		}
	}
	forget(t, dir)
	code, stderr := builderRun(t, nil, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"),
		"--layout", out, "--plain-http", "--from", server+"/dev/game:none")
	if code != 3 && code != 2 || !strings.Contains(stderr, "dev/game:none") {
		t.Errorf("--from what is not there: exit %d\n%s", code, stderr)
	}
}

func TestAComposedImageHasItsLockToo(t *testing.T) {
	dir, server := project(t), realRegistry(t, nil)
	flags := []string{"--registry", server + "/games", "--plain-http"}
	mustBuild(t, dir, append(flags, "--phase", "assets")...)
	mustBuild(t, dir, append(flags, "--phase", "code")...)
	mustBuild(t, dir, append(flags, "--phase", "server")...)
	code, stderr := builderRun(t, nil, append([]string{"compose", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache")}, flags...)...)
	if code != 0 {
		t.Fatalf("compose: exit %d\n%s", code, stderr)
	}
	forget(t, dir)
	write(t, dir, "assets/tex/c.png", noise(99))
	if res := mustBuild(t, dir, flags...); res.PushedBytes > 420_000 {
		t.Errorf("pushed %d bytes for a texture of 400,000: the composed image has no lock", res.PushedBytes)
	}
}
