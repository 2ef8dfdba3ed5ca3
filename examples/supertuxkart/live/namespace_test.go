package live_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/namespace"
)

// insideEnv is set in the process that runs one test in namespaces of its own; it names the folder with what is shared.
const insideEnv = "PITCREW_LIVE_INSIDE"

// shared is what all tests use: the unpacked game and the sidecar.
var shared struct{ dir, root, sidecar string }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if dir := os.Getenv(insideEnv); dir != "" {
		if err := namespace.Settle(); err != nil {
			fmt.Fprintln(os.Stderr, "namespaces:", err)
			return 1
		}
		use(dir)
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "pitcrew-live-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	use(dir)
	code := m.Run()
	if err := writeDoc(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func use(dir string) {
	shared.dir, shared.root, shared.sidecar = dir, filepath.Join(dir, "rootfs"), filepath.Join(dir, "sidecar")
}

// ways is how a sidecar is with its game.
var ways = map[string]bool{"beside": false, "wrapper": true}

// inBothWays runs a test beside the game, and around it. Each is alone.
func inBothWays(t *testing.T, test func(r *rig, wrapped bool)) {
	t.Helper()
	for name, wrapped := range ways {
		t.Run(name, func(t *testing.T) {
			if alone(t) {
				test(newRig(t), wrapped)
			}
		})
	}
}

// alone runs the rest of the test in a process with its own network, processes and mounts: all of it ends with the test. It
// returns false in the process that only waits.
func alone(t testing.TB) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	which := "-test.run"
	if test, ok := t.(*testing.T); ok {
		test.Parallel()
	} else {
		which = "-test.bench"
	}
	if testing.Short() {
		t.Skip("-short: runs the real game")
	}
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	prepare(t)
	var names []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		names = append(names, "^"+regexp.QuoteMeta(part)+"$")
	}
	args := []string{"-test.run=^$", "-test.benchtime=1x", which + "=" + strings.Join(names, "/"), "-test.v", "-test.timeout=15m"}
	args = append(args, handedOn()...)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideEnv+"="+shared.dir)
	cmd.SysProcAttr = namespace.Own()
	out, err := cmd.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	if passed := append([]byte("--- PASS: "), t.Name()...); err != nil || which == "-test.run" && !bytes.Contains(out, passed) {
		t.Errorf("inside of its namespaces: %v", err)
	}
	return false
}

// handedOn are the flags of this package's own.
func handedOn() []string {
	var args []string
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	return args
}

var preparing sync.Mutex

// prepare builds the sidecar, and the game's image from Debian's packages, once.
func prepare(t testing.TB) {
	t.Helper()
	preparing.Lock()
	defer preparing.Unlock()
	if _, err := os.Stat(shared.sidecar); err == nil {
		return
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("needs apt-get")
	}
	if err := os.Chmod(shared.dir, 0o755); err != nil { // the game runs as another user
		t.Fatal(err)
	}
	builder, image := filepath.Join(shared.dir, "builder"), filepath.Join(shared.dir, "image.oci")
	command(t, "go", "build", "-o", builder, "../../../cmd/builder")
	command(t, builder, "build", "-f", "../pipeline.yaml", "--profile", "full", "--platform", "linux/"+runtime.GOARCH, "--layout", image,
		"--cache-dir", "../../../.cache/demo/builder", "--lock", filepath.Join(shared.dir, "assets.lock")) // the cache is make demo's
	unpack(t, image)
	if err := os.RemoveAll(image); err != nil {
		t.Fatal(err)
	}
	// Last: it says that all is there. Static, as in its image.
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "grpcnotrace", "-trimpath", "-ldflags=-s -w", "-o", shared.sidecar, "../../../cmd/sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func unpack(t testing.TB, path string) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		first := m.Manifests[0]
		if first.MediaType.IsImage() {
			img, err := index.Image(first.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := container.Unpack(context.WithoutCancel(t.Context()), img, shared.root); err != nil {
				t.Fatal(err)
			}
			return
		}
		if index, err = index.ImageIndex(first.Digest); err != nil {
			t.Fatal(err)
		}
	}
}
