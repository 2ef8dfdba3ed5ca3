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

func TestMain(m *testing.M) {
	if described := os.Getenv(podEnv); described != "" {
		os.Exit(runPod(described, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

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
		builder: filepath.Join(dir, "builder"), sidecar: filepath.Join(dir, "sidecar"), warmerProgram: filepath.Join(dir, "warmer"),
		containerd: os.Getenv("CONTAINERD"), pipeline: "../pipeline.yaml", cacheDir: filepath.Join(dir, "cache"),
	}
	if err := os.Mkdir(d.cacheDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{d.builder, d.sidecar, d.warmerProgram} {
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../cmd/"+filepath.Base(program)).CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	var first, second bytes.Buffer
	if err := d.run(t.Context(), &first, os.Stderr); err != nil {
		t.Fatal(err)
	}
	wants := []string{"linux/amd64: ", "linux/arm64: ", container.Listening}
	if os.Geteuid() == 0 { // else the session is left out, and says so
		wants = append(wants, "agones   Ready", "agones   Allocated", "players p-", "metrics  pitcrew_sidecar_players 3", "agones   Shutdown")
	}
	switch { // else the node is left out, and says so
	case os.Geteuid() != 0:
	case d.containerd == "":
		wants = append(wants, "The node that is warmed is left out")
	default:
		wants = append(wants, "match-1: "+container.Listening, "match-2: "+container.Listening, "with 0 bytes pulled", "were there")
	}
	for _, want := range wants {
		if !strings.Contains(first.String(), want) {
			t.Errorf("the demo does not print %q:\n%s", want, first.String())
		}
	}
	reg, err := serveRegistry(t.Context(), filepath.Join(d.cacheDir, "registry")) // the same registry, on another port
	if err != nil {
		t.Fatal(err)
	}
	defer reg.stop()
	ref, err := d.build(t.Context(), reg.host, &second)
	if err != nil {
		t.Fatal(err)
	}
	if _, digest, _ := strings.Cut(ref, "@"); !strings.Contains(first.String(), digest) || !strings.Contains(second.String(), "nothing to do") {
		t.Errorf("a second build gave %s and said:\n%s", ref, second.String())
	}
}
