package images_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"

	"github.com/pitcrew-dev/pitcrew/internal/worktreetest"
)

const (
	version  = "v1.2.3-test"
	maxBytes = 20_000_000 // of one platform, as it is pulled
)

func TestImagesOfOneCommitAreTheSameOnEveryMachineAndRun(t *testing.T) {
	tree, revision := commit(t)
	elsewhere, _ := commit(t)
	idx := build(t, "022", tree, "sidecar")
	if got, want := digest(t, build(t, "077", elsewhere, "sidecar")), digest(t, idx); got != want {
		t.Errorf("the same commit in another folder, under another umask: index %s, want %s", got, want)
	}

	command(t, tree, nil, "bin/builder", "verify", "oci:dist/images/sidecar:t")
	manifest, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	checkAnnotations(t, "index", manifest.Annotations, revision)
	images, err := partial.FindImages(idx, match.Platforms(
		v1.Platform{OS: "linux", Architecture: "amd64"}, v1.Platform{OS: "linux", Architecture: "arm64"}))
	if err != nil || len(images) != 2 || len(manifest.Manifests) != 2 {
		t.Fatalf("%d images for linux/amd64 and linux/arm64 of %d (%v), want both and no other", len(images), len(manifest.Manifests), err)
	}
	for _, img := range images {
		checkImage(t, img, revision)
	}
}

func TestADryRunOfAReleaseIsReadBack(t *testing.T) {
	tree, revision := commit(t)
	run := func() string {
		t.Helper()
		return command(t, tree, []string{"VERSION=" + version, "PITCREW_CACHE_DIR=" + t.TempDir()}, "scripts/release.sh", "sidecar")
	}
	out := run()
	for _, want := range []string{"sidecar " + version + ": image, binaries and bills", "chart pitcrew-1.2.3-test", "chart stk-fleet-1.2.3-test"} {
		if !strings.Contains(out, want) {
			t.Errorf("release.sh does not say %q:\n%s", want, out)
		}
	}
	sums := func() string {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join(tree, "dist/release/SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	first := sums()
	run()
	if diff := cmp.Diff(first, sums()); diff != "" {
		t.Errorf("the second run gives other files (-first +second):\n%s", diff)
	}

	verify := func(version, revision string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bin/release", "verify", "-version", version, "-revision", revision)
		cmd.Dir = tree
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	refused := func(what, version, revision, naming string) {
		t.Helper()
		if said, err := verify(version, revision); err == nil || !strings.Contains(said, naming) {
			t.Errorf("verify accepts %s, or does not name %s: %v\n%s", what, naming, err, said)
		}
	}
	if said, err := verify(version, revision); err != nil {
		t.Errorf("verify: %v\n%s", err, said)
	}
	refused("another version", "v1.2.4", revision, "v1.2.4")
	refused("another commit", version, "0000", "vcs.revision")
	chart := filepath.Join(tree, "dist/release/charts/pitcrew-1.2.3-test.tgz")
	raw, err := os.ReadFile(chart)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2]++
	if err := os.WriteFile(chart, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a chart of which a byte was changed", version, revision, "charts/pitcrew-1.2.3-test.tgz")
	if err := os.Remove(chart); err != nil {
		t.Fatal(err)
	}
	refused("a chart that is gone", version, revision, "charts/pitcrew-1.2.3-test.tgz is missing")
}

func checkImage(t *testing.T, img v1.Image, revision string) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	name := config.OS + "/" + config.Architecture
	checkAnnotations(t, name, manifest.Annotations, revision)
	if diff := cmp.Diff([]string{"/usr/bin/sidecar"}, config.Config.Entrypoint); diff != "" {
		t.Errorf("%s: entrypoint (-want +got):\n%s", name, diff)
	}
	if got, want := config.Config.User, "65532:65532"; got != want {
		t.Errorf("%s: user %q, want %q", name, got, want)
	}
	size := manifest.Config.Size
	for _, l := range manifest.Layers {
		size += l.Size
	}
	if size >= maxBytes {
		t.Errorf("%s: %d bytes are pulled, want less than %d", name, size, maxBytes)
	}
	if got, want := start(t, img, config, "--version"), "sidecar version "+version+"\n"; got != want {
		t.Errorf("%s: --version prints %q, want %q", name, got, want)
	}
}

func checkAnnotations(t *testing.T, name string, got map[string]string, revision string) {
	t.Helper()
	for key, want := range map[string]string{
		"org.opencontainers.image.title":    "pitcrew sidecar",
		"org.opencontainers.image.version":  version,
		"org.opencontainers.image.revision": revision,
		"org.opencontainers.image.source":   "https://github.com/pitcrew-dev/pitcrew",
		"org.opencontainers.image.created":  "2001-02-03T04:05:06Z",
	} {
		if got[key] != want {
			t.Errorf("%s: annotation %s is %q, want %q", name, key, got[key], want)
		}
	}
}

// commit is the working tree, in a folder and a commit of its own.
func commit(t *testing.T) (tree, revision string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: compiles for two platforms")
	}
	return worktreetest.Commit(t, "..")
}

// build runs the script that make images runs, and reads back what it wrote.
func build(t *testing.T, umask, tree, program string) v1.ImageIndex {
	t.Helper()
	out := command(t, tree, []string{"VERSION=" + version, "TAG=t", "REGISTRY=", "SOURCE_DATE_EPOCH=", "PITCREW_CACHE_DIR=" + t.TempDir()},
		"sh", "-c", `umask "$1" && exec scripts/images.sh "$2"`, "sh", umask, program)
	_, printed, _ := strings.Cut(strings.TrimSpace(out), "@")
	want, err := v1.NewHash(printed)
	if err != nil {
		t.Fatalf("scripts/images.sh prints %q, want the image's digest: %v", out, err)
	}
	path, err := layout.FromPath(filepath.Join(tree, "dist/images", program))
	if err != nil {
		t.Fatal(err)
	}
	top, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	idx, err := top.ImageIndex(want)
	if err != nil {
		t.Fatal(err)
	}
	return idx
}

// start runs the image's entrypoint as its user, with nothing but the image's files; one of another machine's in an emulator.
func start(t *testing.T, img v1.Image, config *v1.ConfigFile, args ...string) string {
	t.Helper()
	root := unpack(t, img)
	program := config.Config.Entrypoint[0]
	if config.Architecture != runtime.GOARCH {
		emulator := map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}[config.Architecture]
		return command(t, root, nil, emulator, append([]string{filepath.Join(root, program)}, args...)...)
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to change the root folder and the user")
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env, cmd.Path = "/", []string{}, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	return output(t, cmd)
}

func unpack(t *testing.T, img v1.Image) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	files := mutate.Extract(img)
	defer files.Close()
	for in := tar.NewReader(files); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(root, filepath.Clean("/"+h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(name, h.FileInfo().Mode().Perm())
		case tar.TypeReg:
			err = write(name, in, h.FileInfo().Mode().Perm())
		default:
			t.Fatalf("%s in the image has type %q", h.Name, h.Typeflag)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(name string, content io.Reader, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

func digest(t *testing.T, idx v1.ImageIndex) v1.Hash {
	t.Helper()
	h, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	return output(t, cmd)
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%s: %v\n%s", cmd, err, exit.Stderr)
	}
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return string(out)
}
