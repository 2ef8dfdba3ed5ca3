package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary builds the real program: what is killed has to be a process.
func binary(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "builder")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", file, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return file
}

// interrupt runs the build and sends it a signal after a while, if it is still there.
func interrupt(t *testing.T, after time.Duration, sig syscall.Signal, file string, args ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(sig) }
	return cmd.Run()
}

func TestABuildThatIsKilledLeavesNothingHalfDoneAndCanBeRunAgain(t *testing.T) {
	file, dir := binary(t), project(t)
	for i := range 60 { // enough to pack that the signals fall into the middle
		write(t, dir, fmt.Sprintf("assets/tex/more%02d.png", i), noise(byte(100+i)))
	}
	want := mustBuild(t, dir, "--layout", filepath.Join(t.TempDir(), "clean.oci"))
	removeAll(t, filepath.Join(dir, ".cache"), filepath.Join(dir, "assets.lock"))

	out := filepath.Join(t.TempDir(), "killed.oci")
	args := []string{"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--layout", out, "--cache-dir", filepath.Join(dir, ".cache")}
	killed := 0
	for i := range 24 {
		sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM}[i%3]
		if err := interrupt(t, time.Duration(i*7)*time.Millisecond, sig, file, args...); err != nil {
			killed++
		}
		if code, _, stderr := command(t, dir, "verify", "oci:"+out+":1"); code != 0 && !strings.Contains(stderr, "not found") && !strings.Contains(stderr, "not an OCI layout") {
			t.Fatalf("after signal %v in run %d the tag names something that is not whole:\n%s", sig, i, stderr)
		}
		if i%4 == 3 { // otherwise later runs would find all done
			removeAll(t, out)
		}
	}
	if killed == 0 {
		t.Error("no run was interrupted: the test shows nothing")
	}
	if again := mustBuild(t, dir, "--layout", out); again.Digest != want.Digest {
		t.Errorf("after %d interrupted runs the build gives %s, want %s", killed, again.Digest, want.Digest)
	}
	for _, glob := range []string{filepath.Join(out, ".tmp-*"), filepath.Join(dir, "assets.lock.*")} {
		if left, _ := filepath.Glob(glob); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestAFullDiskIsOneClearError(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	dir, small := project(t), t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	out := filepath.Join(small, "out.oci")
	code, _, stderr := command(t, dir, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--layout", out)
	if code != 3 || !strings.Contains(stderr, "no space left") || !strings.Contains(stderr, "free some space") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "assets.lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed build left a lock: %v", err)
	}
	if code, _, _ := command(t, dir, "inspect", "oci:"+out+":1"); code == 0 {
		t.Error("a failed build left a tag")
	}
}
