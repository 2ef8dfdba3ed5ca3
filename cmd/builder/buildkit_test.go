package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
)

// buildkitd is a real daemon of this test's own, which runs nothing but amd64.
func buildkitd(t *testing.T) (socket string) {
	t.Helper()
	program := os.Getenv("BUILDKITD")
	if program == "" {
		t.Skip("BUILDKITD names no buildkitd: make prove-buildkit builds one")
	}
	if os.Geteuid() != 0 {
		t.Skip("buildkitd with a runc worker needs root")
	}
	dir, err := os.MkdirTemp("", "bk-") //nolint:usetesting // a short path: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	write(t, dir, "buildkitd.toml", "[worker.oci]\n  platforms = [\"linux/amd64\"]\n")
	socket = filepath.Join(dir, "sock")
	addr := "unix://" + socket
	var log bytes.Buffer
	cmd := exec.Command(program, "--config", filepath.Join(dir, "buildkitd.toml"), "--root", filepath.Join(dir, "root"), "--addr", addr,
		"--oci-worker-net", "host", "--containerd-worker=false", "--oci-worker=true", "--oci-worker-snapshotter", "overlayfs")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the test has what it wanted
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		<-ended
		if t.Failed() {
			t.Logf("buildkitd said:\n%s", log.Bytes()[max(0, log.Len()-4000):])
		}
	})
	waitAnswer(t, addr, ended)
	return socket
}

func waitAnswer(t *testing.T, addr string, ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		c, err := client.New(ctx, addr)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.ListWorkers(ctx)
		if err := errors.Join(c.Close(), ctx.Err()); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			return
		}
		select {
		case <-ended:
			t.Fatal("buildkitd ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

const toolsPipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: tools}
platforms: [linux/amd64]
repository: tools
tags: ["1"]
phases:
  base:
    sources: [{apt: {packages: [%s]}}]
`

const (
	basics   = "dash, coreutils"
	compiler = "g++, g++-aarch64-linux-gnu, make, " + basics
)

// toolsImage is an image of Debian's packages, pushed to a registry, which keeps what is below kept/ from daemons.
func toolsImage(t *testing.T, packages string) string {
	t.Helper()
	reg, dir := realRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		kept := strings.HasPrefix(r.URL.Path, "/v2/kept/") && strings.Contains(r.UserAgent(), "buildkit")
		if kept {
			http.Error(w, "not for you", http.StatusNotFound)
		}
		return kept
	}), t.TempDir()
	write(t, dir, "pipeline.yaml", fmt.Sprintf(toolsPipeline, packages))
	mustBuild(t, dir, "--registry", reg, "--plain-http")
	return reg + "/tools:1"
}

// copied is the image below a folder of its registry.
func copied(t *testing.T, image, folder string) string {
	t.Helper()
	to := strings.Replace(image, "/", "/"+folder+"/", 1)
	if code, stderr := builderRun(t, nil, "promote", image, to, "--plain-http"); code != 0 {
		t.Fatalf("promote: exit %d\n%s", code, stderr)
	}
	return to
}

// inBuildKit changes the pipeline of a compiled project to use a daemon.
func inBuildKit(t *testing.T, dir, addr, image, more string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(raw), "      toolchain: [[g++, --version]]\n",
		fmt.Sprintf("      buildkit: {addr: %q, image: %q}\n%s", addr, image, more), 1)
	write(t, dir, "pipeline.yaml", strings.ReplaceAll(text, ", toolchain: [[aarch64-linux-gnu-g++, --version]]", ""))
}

const crossInBuildKit = `        linux/arm64: {cross: true, env: {CXX: aarch64-linux-gnu-g++}}`

func TestACommandRunsInABuildKitDaemon(t *testing.T) {
	addr := "unix://" + buildkitd(t)
	image := toolsImage(t, compiler)
	kept := copied(t, image, "kept")

	t.Run("what it makes is the image's code, for both platforms", func(t *testing.T) {
		mark := filepath.Join(t.TempDir(), "this machine")
		write(t, filepath.Dir(mark), filepath.Base(mark), "x")
		dir, _ := compiled(t, `sh, -c, "test ! -e '`+mark+`' && make && touch src-was-written"`, crossInBuildKit)
		inBuildKit(t, dir, addr, image, "")
		out := filepath.Join(t.TempDir(), "out.oci")
		first := mustBuild(t, dir, "--layout", out, "--plain-http")
		for platform, want := range map[string]string{"linux/amd64": "hello from amd64", "linux/arm64": "hello from arm64"} {
			if got := says(t, out, platform); got != want {
				t.Errorf("%s says %q, want %q", platform, got, want)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".cache/compile/linux-*[^k]")); len(left) > 0 {
			t.Errorf("scratch folders are left: %v", left)
		}
		again := mustBuild(t, dir, "--layout", out, "--plain-http", "--cache-dir", t.TempDir())
		if again.Digest != first.Digest {
			t.Errorf("a fresh machine's image is %s, the first one %s", again.Digest, first.Digest)
		}
	})

	t.Run("the image is the one that the lock pins", func(t *testing.T) {
		moving := copied(t, image, "moving")
		dir, _ := compiled(t, "make", crossInBuildKit)
		inBuildKit(t, dir, addr, moving, "")
		out := filepath.Join(t.TempDir(), "out.oci")
		first := mustBuild(t, dir, "--layout", out, "--plain-http")
		other := t.TempDir()
		write(t, other, "pipeline.yaml", fmt.Sprintf(toolsPipeline, "coreutils"))
		mustBuild(t, other, "--registry", strings.TrimSuffix(moving, "/tools:1"), "--plain-http")
		again := mustBuild(t, dir, "--layout", out, "--plain-http", "--cache-dir", t.TempDir())
		if again.Digest != first.Digest {
			t.Errorf("after the tag was moved: %s, before: %s", again.Digest, first.Digest)
		}
		refused(t, dir, 3, []string{"make", "not found in $PATH"}, "--update") // the other image has none
	})

	for name, c := range map[string]struct {
		command, platforms, addr, image, more string
		exit                                  int
		want                                  []string
	}{
		"a command that fails": {
			`sh, -c, "echo the reason; exit 7"`, crossInBuildKit, addr, image, "",
			3,
			[]string{"phases.code.build", "exit status 7", "the reason", "the whole log is"},
		},
		"a command that leaves nothing": {
			`"true"`, crossInBuildKit, addr, image, "", 3, []string{"the command left nothing at out"},
		},
		"a program that the image does not have": {
			"nosuchprogram", crossInBuildKit, addr, image, "", 3, []string{"nosuchprogram", "not found in $PATH"},
		},
		"a command that hangs": {
			`sleep, "1000"`, crossInBuildKit, addr, image, "      timeout: 2s\n", 3, []string{"did not end within 2s"},
		},
		"an image that the daemon cannot pull": {
			`"true"`, crossInBuildKit, addr, kept, "", 3, []string{kept, "see that the daemon can pull"},
		},
		"a platform that the daemon does not run": {
			`sh, -c, "mkdir out; touch out/greet"`, "        linux/arm64: {env: {CXX: g++}}", addr, image, "", 3, []string{"runs linux/amd64, not linux/arm64", "cross: true"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := compiled(t, c.command, c.platforms)
			inBuildKit(t, dir, c.addr, c.image, c.more)
			refused(t, dir, c.exit, c.want)
		})
	}
}

func TestABuildKitDaemonThatGoesAwayAmidACommand(t *testing.T) {
	socket := buildkitd(t)
	image := toolsImage(t, basics)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	way, addr := newDoor(t, l, socket), "tcp://"+l.Addr().String()
	dir, _ := compiled(t, `sh, -c, "echo it runs; sleep 1000"`, crossInBuildKit)
	inBuildKit(t, dir, addr, image, "")
	over := make(chan struct{})
	var cutter sync.WaitGroup
	cutter.Go(func() {
		for !logged(dir, "it runs") {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		way.shut()
	})
	refused(t, dir, 5, []string{addr, "does not answer"})
	close(over)
	cutter.Wait()
}

// logged reports whether a command's log has a text.
func logged(dir, text string) bool {
	logs, err := filepath.Glob(filepath.Join(dir, ".cache/compile/logs/*.log"))
	if err != nil || len(logs) == 0 {
		return false
	}
	raw, err := os.ReadFile(logs[0])
	return err == nil && bytes.Contains(raw, []byte(text))
}

// The daemon is behind a door that asks for a certificate, as buildkitd itself does on tcp.
func TestABuildKitDaemonIsReachedByTLS(t *testing.T) {
	socket := buildkitd(t)
	image := toolsImage(t, basics)
	ca, stranger := newAuthority(t), newAuthority(t)
	door := tlsDoor(t, socket, ca)
	for name, c := range map[string]struct {
		trusts, shows *authority
		exit          int
		want          []string
	}{
		"both know each other":              {ca, ca, 0, nil},
		"another authority is trusted":      {stranger, ca, 5, []string{door, "does not answer", "unknown authority"}},
		"a stranger's certificate is shown": {ca, stranger, 5, []string{door, "does not answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := compiled(t, `sh, -c, "mkdir out && touch out/greet"`, crossInBuildKit)
			inBuildKit(t, dir, door, image, "")
			raw, err := os.ReadFile(filepath.Join(dir, "pipeline.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "pipeline.yaml", strings.Replace(string(raw), "buildkit: {", "buildkit: {tls: {ca: ca.pem, cert: cert.pem, key: key.pem}, ", 1))
			c.trusts.write(t, filepath.Join(dir, "ca.pem"))
			c.shows.issue(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
			refused(t, dir, c.exit, c.want)
		})
	}
}

func TestADaemonOrAnImageThatIsNotThere(t *testing.T) {
	reg := testRegistry(t)
	tools := project(t)
	mustBuild(t, tools, "--registry", reg, "--plain-http")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "tcp://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		addr, image string
		exit        int
		want        []string
	}{
		"no daemon":             {nobody, reg + "/game:1", 5, []string{nobody, "does not answer", "see that buildkitd runs there"}},
		"no image":              {nobody, reg + "/nothing:1", 3, []string{reg + "/nothing:1", "not found", "check the image's name and tag"}},
		"no socket":             {"unix:///nowhere/sock", reg + "/game:1", 5, []string{"/nowhere/sock"}},
		"a name without a host": {nobody, "tools", 2, []string{"buildkit.image", "full reference"}},
		"an addr of no kind":    {"here", reg + "/game:1", 2, []string{"buildkit.addr", "tcp://HOST:PORT"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := compiled(t, "", crossInBuildKit)
			inBuildKit(t, dir, c.addr, c.image, "")
			refused(t, dir, c.exit, c.want)
		})
	}
}

// refused holds that a build ends as it should, and says why.
func refused(t *testing.T, dir string, exit int, want []string, more ...string) {
	t.Helper()
	code, stderr := builderRun(t, nil, append([]string{
		"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"),
		"--layout", filepath.Join(t.TempDir(), "out.oci"), "--plain-http",
	}, more...)...)
	if code != exit {
		t.Errorf("exit %d, want %d", code, exit)
	}
	for _, text := range want {
		if !strings.Contains(stderr, text) {
			t.Errorf("no %q in:\n%s", text, stderr)
		}
	}
}
