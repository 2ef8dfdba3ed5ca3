package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
)

// The real thing: Debian's SuperTuxKart for two architectures, built, read back, unpacked and started.
func TestTheRealServersListenOnBothArchitectures(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: downloads and builds the real game")
	}
	for _, arch := range []string{"amd64", "arm64"} {
		if err := container.Supported(arch, runtime.GOARCH); err != nil {
			t.Skip(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "apt-get", "--version").CombinedOutput(); err != nil {
		t.Skipf("needs apt-get: %v %s", err, out)
	}
	dir := t.TempDir()
	d := demo{
		builder: filepath.Join(dir, "builder"), pipeline: "../pipeline.yaml",
		cacheDir: filepath.Join(dir, "cache"),
	}
	if err := os.Mkdir(d.cacheDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", d.builder, "../../../cmd/builder").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var first, second bytes.Buffer
	if err := d.run(t.Context(), &first, os.Stderr); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"linux/amd64: ", "linux/arm64: ", container.Listening} {
		if !strings.Contains(first.String(), want) {
			t.Errorf("the demo does not print %q:\n%s", want, first.String())
		}
	}
	host, stop, err := serveRegistry(t.Context(), filepath.Join(d.cacheDir, "registry")) // the same registry, on another port
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ref, err := d.build(t.Context(), host, &second)
	if err != nil {
		t.Fatal(err)
	}
	if _, digest, _ := strings.Cut(ref, "@"); !strings.Contains(first.String(), digest) || !strings.Contains(second.String(), "nothing to do") {
		t.Errorf("a second build gave %s and said:\n%s", ref, second.String())
	}
}
