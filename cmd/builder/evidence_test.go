package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/evidence"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/provenance"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
	"github.com/pitcrew-dev/pitcrew/builder/sign"
	"github.com/pitcrew-dev/pitcrew/builder/verify"
)

// packaged is the small game with two packages in its code, one of them for one platform, and something in its assets.
func packaged(t *testing.T) string {
	t.Helper()
	dir := project(t)
	const status = "Package: %s\nVersion: 1:2.3-4\nArchitecture: %s\n"
	write(t, dir, "amd64/var/lib/dpkg/status.d/libfast", fmt.Sprintf(status, "libfast", "amd64"))
	write(t, dir, "amd64/var/lib/dpkg/status.d/libgame", fmt.Sprintf(status, "libgame", "amd64"))
	write(t, dir, "arm64/var/lib/dpkg/status.d/libgame", fmt.Sprintf(status, "libgame", "arm64"))
	return dir
}

func verified(t *testing.T, ref string, args ...string) verify.Report {
	t.Helper()
	var r verify.Report
	if code, stderr := builderRun(t, &r, append([]string{"verify", ref, "--plain-http"}, args...)...); code != 0 {
		t.Fatalf("verify %s: exit %d\n%s", ref, code, stderr)
	}
	return r
}

func bill(t *testing.T, ref, platform string) string {
	t.Helper()
	code, stdout, stderr := command(t, t.TempDir(), "sbom", ref, "--platform", platform, "--plain-http")
	if code != 0 {
		t.Fatalf("sbom %s: exit %d\n%s", ref, code, stderr)
	}
	return stdout
}

func TestAnImageSaysWhatIsInItAndWhereItIsFrom(t *testing.T) {
	dir := packaged(t)
	out := filepath.Join(t.TempDir(), "out.oci")
	mustBuild(t, dir, "--layout", out)
	if got, want := verified(t, "oci:"+out+":1").Attached, (verify.Attached{Provenances: 1, SBOMs: 2, Files: 24}); got != want {
		t.Errorf("attached: %+v, want %+v", got, want)
	}
	amd64, arm64 := bill(t, "oci:"+out+":1", "linux/amd64"), bill(t, "oci:"+out+":1", "linux/arm64")
	for _, want := range []string{`"pkg:deb/debian/libgame@1%3A2.3-4?arch=amd64"`, `"pkg:deb/debian/libfast@1%3A2.3-4?arch=amd64"`, `"./game/tex/a.png"`} {
		if !strings.Contains(amd64, want) {
			t.Errorf("the bill for amd64 lacks %s", want)
		}
	}
	if !strings.Contains(arm64, "libgame") || strings.Contains(arm64, "libfast") {
		t.Errorf("the bill for arm64: %s", arm64)
	}
	p := provenanceOf(t, out, "1")
	if p.BuildDefinition.ExternalParameters.Pipeline.Name != "game" || len(p.BuildDefinition.ResolvedDependencies) != 3 {
		t.Errorf("provenance: %+v, want the pipeline's name and three phases", p)
	}
	code, _, stderr := command(t, dir, "sbom", "oci:"+out+":1")
	if code != 2 || !strings.Contains(stderr, "linux/arm64") {
		t.Errorf("sbom without --platform: exit %d\n%s", code, stderr)
	}
}

// slsaPredicate is as much of a provenance as tests look at.
type slsaPredicate struct {
	BuildDefinition struct {
		ExternalParameters struct {
			Pipeline struct{ Name string }
		}
		ResolvedDependencies []struct{ Name, URI string }
	}
}

func provenanceOf(t *testing.T, dir, reference string) slsaPredicate {
	t.Helper()
	l, img := loaded(t, dir, reference)
	docs, err := evidence.Provenances(t.Context(), l, img.Descriptor.Digest)
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d provenances, %v", len(docs), err)
	}
	s, err := provenance.ParseStatement(docs[0].Content)
	if err != nil {
		t.Fatal(err)
	}
	var p slsaPredicate
	decode(t, string(s.Predicate), &p)
	return p
}

func loaded(t *testing.T, dir, reference string) (*layout.Layout, *inspect.Image) {
	t.Helper()
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	img, err := inspect.Load(t.Context(), l, reference)
	if err != nil {
		t.Fatal(err)
	}
	return l, img
}

// beside is all that is attached to an image and its manifests, by subject and type.
func beside(t *testing.T, dir string) map[string]string {
	t.Helper()
	l, img := loaded(t, dir, "1")
	subjects := []v1.Hash{img.Descriptor.Digest}
	for _, p := range img.Platforms {
		subjects = append(subjects, p.Manifest.Digest)
	}
	out := map[string]string{}
	for _, s := range subjects {
		all, err := attach.All(t.Context(), l, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			out[s.String()+" "+d.ArtifactType] = d.Digest.String()
		}
	}
	return out
}

func TestWhatIsAttachedIsTheSameEverywhere(t *testing.T) {
	dir := packaged(t)
	first, second, composed := filepath.Join(t.TempDir(), "1.oci"), filepath.Join(t.TempDir(), "2.oci"), filepath.Join(t.TempDir(), "3.oci")
	mustBuild(t, dir, "--layout", first)
	want := beside(t, first)
	if kinds := slices.Collect(maps.Keys(want)); len(kinds) != 5 {
		t.Fatalf("attached: %v, want lock, files and provenance, and a bill for each platform", kinds)
	}
	removeAll(t, filepath.Join(dir, ".cache"))
	mustBuild(t, dir, "--layout", second)
	if diff := cmp.Diff(want, beside(t, second)); diff != "" {
		t.Errorf("on another machine (-want +got):\n%s", diff)
	}
	for _, phase := range []string{"assets", "code", "server"} {
		mustBuild(t, dir, "--layout", composed, "--phase", phase)
	}
	code, stderr := builderRun(t, nil, "compose", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--layout", composed)
	if code != 0 {
		t.Fatalf("compose: exit %d\n%s", code, stderr)
	}
	if diff := cmp.Diff(want, beside(t, composed)); diff != "" {
		t.Errorf("composed (-want +got):\n%s", diff)
	}
}

// Of phases that are named as images, nobody looks at the sources.
func TestAnImageOfNamedPhasesSaysWhatIsInIt(t *testing.T) {
	dir, reg := packaged(t), testRegistry(t)
	flags := []string{"--registry", reg, "--plain-http"}
	whole := mustBuild(t, dir, flags...)
	want := bill(t, reg+"/game:1", "linux/amd64")
	args := []string{"compose", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--tag", "2"}
	for _, phase := range []string{"assets", "code"} {
		var res build.Result
		if code, stderr := builderRun(t, &res, append([]string{"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--phase", phase}, flags...)...); code != 0 {
			t.Fatalf("build %s: exit %d\n%s", phase, code, stderr)
		}
		args = append(args, "--from", phase+"="+res.Ref)
	}
	removeAll(t, filepath.Join(dir, "assets", "tex"), filepath.Join(dir, "amd64", "var"))
	if code, stderr := builderRun(t, nil, append(args, flags...)...); code != 0 {
		t.Fatalf("compose: exit %d\n%s", code, stderr)
	}
	if got := verified(t, reg+"/game:2"); got.Digest != whole.Digest || got.Attached.Files != 24 {
		t.Errorf("composed: %+v, want %s with 24 files listed", got, whole.Digest)
	}
	if diff := cmp.Diff(want, bill(t, reg+"/game:2", "linux/amd64")); diff != "" {
		t.Errorf("bill (-built +composed):\n%s", diff)
	}
}

// What is taken from the registry is described as what is built.
func TestAnImageOfPhasesFromTheRegistrySaysWhatIsInIt(t *testing.T) {
	url, sums, _ := origin(t)
	server := realRegistry(t, nil)
	dir := t.TempDir()
	pipeline := func(port string) {
		write(t, dir, "pipeline.yaml", fmt.Sprintf(remotePipeline, url, sums["assets"], sums["base"], "/etc/game.conf", port))
	}
	pipeline("port=1")
	mustBuild(t, dir, "--registry", server, "--plain-http")
	removeAll(t, filepath.Join(dir, ".cache"))
	pipeline("port=2")
	mustBuild(t, dir, "--registry", server, "--plain-http")
	if got, want := verified(t, server+"/game:1").Attached, (verify.Attached{Provenances: 1, SBOMs: 2, Files: 6}); got != want {
		t.Errorf("attached: %+v, want %+v", got, want)
	}
}

// counted counts the bytes of a request's body.
type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// All that a build sends counts: layers, manifests, the lock, lists, bills and provenance.
func TestAnArtistsCommitSendsKilobytes(t *testing.T) {
	dir := project(t)
	for i := range 3000 {
		write(t, dir, fmt.Sprintf("assets/many/%d.xml", i), fmt.Sprint(i))
	}
	var sent atomic.Int64
	server := realRegistry(t, func(_ http.ResponseWriter, r *http.Request) bool {
		r.Body = counted{r.Body, &sent}
		return false
	})
	mustBuild(t, dir, "--registry", server, "--plain-http")
	first := sent.Swap(0)
	write(t, dir, "assets/many/7.xml", "another")
	mustBuild(t, dir, "--registry", server, "--plain-http")
	if n := sent.Load(); n > 80<<10 || first < 4_800_000 {
		t.Errorf("%d bytes sent for one small file, want 80 KiB at most; %d for the first build", n, first)
	}
}

func TestFalseEvidenceIsFound(t *testing.T) {
	dir := packaged(t)
	image := filepath.Join(t.TempDir(), "out.oci")
	mustBuild(t, dir, "--layout", image)
	l, img := loaded(t, image, "1")
	other := filepath.Join(t.TempDir(), "other.oci")
	write(t, dir, "amd64/bin/game", "other code")
	mustBuild(t, dir, "--layout", other)
	lo, imgo := loaded(t, other, "1")
	foreign, err := evidence.Provenances(t.Context(), lo, imgo.Descriptor.Digest)
	if err != nil {
		t.Fatal(err)
	}
	own, err := evidence.Provenances(t.Context(), l, img.Descriptor.Digest)
	if err != nil {
		t.Fatal(err)
	}
	amd64 := img.Platforms[0]
	bills, err := evidence.SBOMs(t.Context(), l, amd64.Manifest.Digest)
	if err != nil {
		t.Fatal(err)
	}
	files, err := evidence.ReadFileList(t.Context(), l, img.Descriptor.Digest)
	if err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("0", 64)
	edit := func(raw []byte, old, new string) []byte {
		t.Helper()
		if !bytes.Contains(raw, []byte(old)) {
			t.Fatalf("%q is not in %s", old, raw)
		}
		return bytes.ReplaceAll(raw, []byte(old), []byte(new))
	}
	input := img.Annotations["dev.pitcrew.input.code"]
	for name, c := range map[string]struct {
		put  func(*attach.Batch, *attach.Batch) error
		want string
	}{
		"another image's provenance": {func(b, _ *attach.Batch) error {
			return evidence.PutProvenance(t.Context(), b, foreign[0].Content)
		}, "not about this image"},
		"a provenance of other inputs": {func(b, _ *attach.Batch) error {
			return evidence.PutProvenance(t.Context(), b, edit(own[0].Content, strings.TrimPrefix(input, "sha256:"), digest))
		}, "phase code was made from"},
		"a bill with a package less": {func(_, b *attach.Batch) error {
			return evidence.PutSBOM(t.Context(), b, edit(bills[0].Content, "libfast", "libslow"))
		}, "libslow"},
		"a list with another digest": {func(b, _ *attach.Batch) error {
			listed, err := sbom.ParseFiles(files.Documents)
			if err != nil {
				return err
			}
			listed[3].SHA256.Hex = digest
			return putList(t, b, listed)
		}, "it has sha256:"},
		"a list that lacks a file": {func(b, _ *attach.Batch) error {
			listed, err := sbom.ParseFiles(files.Documents)
			if err != nil {
				return err
			}
			return putList(t, b, listed[1:])
		}, "lacks"},
		"no document at all": {func(_, b *attach.Batch) error {
			return evidence.PutSBOM(t.Context(), b, []byte("{"))
		}, "not an SPDX document"},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "copy.oci")
			if code, stderr := builderRun(t, nil, "promote", "oci:"+image+":1", "oci:"+copied+":1"); code != 0 {
				t.Fatalf("promote: exit %d\n%s", code, stderr)
			}
			l, _ := loaded(t, copied, "1")
			index := &attach.Batch{Repository: l, Subject: img.Descriptor}
			manifest := &attach.Batch{Repository: l, Subject: amd64.Manifest}
			if err := c.put(index, manifest); err != nil {
				t.Fatal(err)
			}
			for _, b := range []*attach.Batch{index, manifest} {
				if err := b.Done(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			code, stderr := builderRun(t, nil, "verify", "oci:"+copied+":1")
			if code != 3 || !strings.Contains(stderr, c.want) {
				t.Errorf("verify: exit %d, want 3 and %q\n%s", code, c.want, stderr)
			}
		})
	}
}

func putList(t *testing.T, to *attach.Batch, files []sbom.File) error {
	t.Helper()
	list, err := evidence.NewFileList(files)
	if err != nil {
		return err
	}
	return list.Put(t.Context(), to)
}

// keyFiles writes a pair of keys.
func keyFiles(t *testing.T) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pubDER, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	write(t, dir, "key.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pubDER})))
	return filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.pub")
}

func TestSignaturesAreCheckedAndSurviveComposeAndPromote(t *testing.T) {
	dir, server := packaged(t), realRegistry(t, nil)
	private, public := keyFiles(t)
	otherPrivate, otherPublic := keyFiles(t)
	flags := []string{"--registry", server + "/dev", "--plain-http"}
	built := mustBuild(t, dir, append(flags, "--sign-key", private)...)
	ref := server + "/dev/game:1"
	if got := verified(t, ref, "--key", public).Attached.Signatures; got != 3 {
		t.Errorf("%d signed statements, want provenance and two bills", got)
	}
	code, stderr := builderRun(t, nil, "verify", ref, "--plain-http", "--key", otherPublic)
	if code != 3 || !strings.Contains(stderr, "no provenance is signed by the key") {
		t.Errorf("verify with another key: exit %d\n%s", code, stderr)
	}
	code, stderr = builderRun(t, nil, "promote", ref, server+"/prod/game:1", "--plain-http", "--key", otherPublic)
	if code != 3 {
		t.Errorf("promote with another key: exit %d\n%s", code, stderr)
	}
	for range 2 { // the second time changes nothing
		if code, stderr := builderRun(t, nil, "sign", ref, "--key", otherPrivate, "--plain-http"); code != 0 {
			t.Fatalf("sign: exit %d\n%s", code, stderr)
		}
	}
	if code, stderr := builderRun(t, nil, "promote", ref, server+"/prod/game:1", "--plain-http", "--key", public); code != 0 {
		t.Fatalf("promote: exit %d\n%s", code, stderr)
	}
	for _, key := range []string{public, otherPublic} {
		if got := verified(t, server+"/prod/game:1", "--key", key); got.Digest != built.Digest || got.Attached.Signatures != 3 {
			t.Errorf("promoted: %+v, want three statements signed by each key", got)
		}
	}
	code, stderr = builderRun(t, nil, append([]string{"compose", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--tag", "2", "--sign-key", private}, flags...)...)
	if code != 0 {
		t.Fatalf("compose: exit %d\n%s", code, stderr)
	}
	verified(t, server+"/dev/game:2", "--key", public)
}

func TestASignedStatementThatIsNotAttachedIsFound(t *testing.T) {
	dir := packaged(t)
	out := filepath.Join(t.TempDir(), "out.oci")
	mustBuild(t, dir, "--layout", out)
	l, img := loaded(t, out, "1")
	private, public := keyFiles(t)
	key, err := readKey(private)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := provenance.NewStatement([]provenance.Subject{provenance.NewSubject("game", img.Descriptor.Digest)}, provenance.PredicateType, json.RawMessage(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := sign.Seal(t.Context(), key, statement)
	if err != nil {
		t.Fatal(err)
	}
	d, err := attach.Put(t.Context(), l, img.Descriptor, sign.EnvelopeType, []attach.Part{{MediaType: sign.EnvelopeType, Content: envelope}})
	if err != nil {
		t.Fatal(err)
	}
	_, raw, err := l.Manifest(t.Context(), d.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Tag(t.Context(), attach.AttestationTag(img.Descriptor.Digest), d, raw); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--key", public}} {
		code, stderr := builderRun(t, nil, append([]string{"verify", "oci:" + out + ":1"}, args...)...)
		if code != 3 || !strings.Contains(stderr, "not the provenance that is attached") {
			t.Errorf("verify %v: exit %d\n%s", args, code, stderr)
		}
	}
}

func TestSigningSaysWhatIsMissing(t *testing.T) {
	dir := packaged(t)
	out := filepath.Join(t.TempDir(), "out.oci")
	mustBuild(t, dir, "--layout", out)
	private, _ := keyFiles(t)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no key":           {[]string{"sign", "oci:" + out + ":1"}, 2, "--key"},
		"no such key":      {[]string{"sign", "oci:" + out + ":1", "--key", filepath.Join(dir, "none")}, 2, "none"},
		"a key of nothing": {[]string{"sign", "oci:" + out + ":1", "--key", filepath.Join(dir, "pipeline.yaml")}, 2, "PEM"},
		"no such image":    {[]string{"sign", "oci:" + out + ":9", "--key", private}, 3, ":9"},
		"no such layout":   {[]string{"sign", "oci:" + dir + ":1", "--key", private}, 3, "OCI layout"},
		"a tarball":        {[]string{"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--tarball", filepath.Join(dir, "x.tar"), "--sign-key", private}, 2, "tarball"},
		"a phase":          {[]string{"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--layout", out, "--phase", "code", "--sign-key", private}, 2, "phase"},
	} {
		code, stderr := builderRun(t, nil, c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", name, code, c.code, c.want, stderr)
		}
	}
}
