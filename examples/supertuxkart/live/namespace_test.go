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
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
)

// insideEnv is set in the process that runs one test in namespaces of its own; it names the folder with what is shared.
const insideEnv = "PITCREW_LIVE_INSIDE"

// shared is what all tests use: the unpacked game and the sidecar.
var shared struct{ dir, root, sidecar string }

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if dir := os.Getenv(insideEnv); dir != "" {
		if err := settle(); err != nil {
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
	return m.Run()
}

func use(dir string) {
	shared.dir, shared.root, shared.sidecar = dir, filepath.Join(dir, "rootfs"), filepath.Join(dir, "sidecar")
}

// settle makes /proc and loopback those of the namespaces.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// ways is how a sidecar is with its game.
var ways = map[string]bool{"beside": false, "wrapper": true}

// inBothWays runs a test beside the game, and around it. Each is alone.
func inBothWays(t *testing.T, test func(t *testing.T, wrapped bool)) {
	t.Helper()
	for name, wrapped := range ways {
		t.Run(name, func(t *testing.T) {
			if alone(t) {
				test(t, wrapped)
			}
		})
	}
}

// alone runs the rest of the test in a process with its own network, processes and mounts: all of it ends with the test. It
// returns false in the process that only waits.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	t.Parallel()
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
	args := append([]string{"-test.run=" + strings.Join(names, "/"), "-test.v", "-test.timeout=5m"}, handedOn()...)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), insideEnv+"="+shared.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
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
func prepare(t *testing.T) {
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
		"--cache-dir", filepath.Join(shared.dir, "cache"), "--lock", filepath.Join(shared.dir, "assets.lock"))
	unpack(t, image)
	for _, used := range []string{image, filepath.Join(shared.dir, "cache")} {
		if err := os.RemoveAll(used); err != nil {
			t.Fatal(err)
		}
	}
	// Last: it says that all is there. Static, as in its image.
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", shared.sidecar, "../../../cmd/sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func unpack(t *testing.T, path string) {
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
