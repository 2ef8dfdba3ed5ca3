package process_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/sidecar/process"
)

// initEnv makes this program the first process of a container.
const initEnv = "PITCREW_TEST_INIT"

func TestMain(m *testing.M) {
	if os.Getenv(initEnv) != "" {
		os.Exit(beInit())
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, script string, stdout io.Writer) *process.Process {
	t.Helper()
	p, err := process.Start(t.Context(), []string{"sh", "-c", script}, []string{"GREETING=hello"}, stdout, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Signal(os.Kill)
		<-p.Done()
	})
	return p
}

func TestExitsAreTold(t *testing.T) {
	for script, want := range map[string]struct {
		code int
		how  string
	}{
		"exit 0":     {0, "exit status 0"},
		"exit 7":     {7, "exit status 7"},
		"kill -9 $$": {137, "signal: killed"},
	} {
		p := start(t, script, io.Discard)
		<-p.Done()
		if code, how := p.Exit(); code != want.code || how != want.how {
			t.Errorf("%s: Exit() = %d, %q, want %d, %q", script, code, how, want.code, want.how)
		}
	}
}

func TestItsInputStaysOpenAndItsEnvironmentIsOurs(t *testing.T) {
	t.Setenv("INHERITED", "too")
	var out bytes.Buffer
	p := start(t, `echo "$GREETING $INHERITED"; read -r line || echo "end of input"`, &out)
	stop := time.AfterFunc(200*time.Millisecond, func() { p.Signal(unix.SIGTERM) })
	defer stop.Stop()
	<-p.Done()
	if got := out.String(); got != "hello too\n" {
		t.Errorf("output = %q; a game whose input ends may spin", got)
	}
}

func TestSignalsAreHandedOn(t *testing.T) {
	r, w := io.Pipe()
	p := start(t, `trap 'echo usr1' USR1; trap 'echo hup' HUP; echo ready; while :; do sleep 0.02; done`, w)
	lines := bufio.NewScanner(r)
	for _, step := range []struct {
		want string
		next syscall.Signal
	}{{"ready", unix.SIGUSR1}, {"usr1", unix.SIGHUP}, {"hup", 0}} {
		if !lines.Scan() || lines.Text() != step.want {
			t.Fatalf("line = %q, want %q", lines.Text(), step.want)
		}
		if step.next == 0 {
			break
		}
		if err := unix.Kill(os.Getpid(), step.next); err != nil { // to the sidecar, not to the game
			t.Fatal(err)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // until the game has ended
	p.Signal(os.Kill)
	<-p.Done()
	w.Close()
}

func TestAGameThatIsNotThere(t *testing.T) {
	if _, err := process.Start(t.Context(), []string{"/nonexistent/game"}, nil, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "/nonexistent/game") {
		t.Errorf("Start() = %v, want an error that names the game", err)
	}
}

// As a container's first process the sidecar inherits what a game leaves behind.
func TestOrphansAreReaped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a namespace of processes needs root")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), initEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// beInit runs a game that leaves children behind, and waits until none of them is left.
func beInit() int {
	if os.Getpid() != 1 {
		fmt.Println("not the first process")
		return 1
	}
	r, w := io.Pipe()
	const orphans = 5
	p, err := process.Start(context.Background(), []string{"sh", "-c", `for i in 1 2 3 4 5; do (sleep 0.05 & echo $!); done; read -r line`}, nil, w, os.Stderr)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	lines := bufio.NewScanner(r)
	for range orphans {
		var pid int
		if !lines.Scan() {
			return 1
		}
		if _, err := fmt.Sscan(lines.Text(), &pid); err != nil {
			fmt.Println(err)
			return 1
		}
		if !reaped(pid) {
			fmt.Println("still there:", pid)
			return 1
		}
	}
	p.Signal(unix.SIGTERM)
	go func() { _, _ = io.Copy(io.Discard, r) }() // until this process ends
	<-p.Done()
	if code, how := p.Exit(); code != 143 {
		fmt.Println("the game's own exit was lost:", code, how)
		return 1
	}
	return 0
}

// reaped waits until there is no such process any more, not even one that has ended.
func reaped(pid int) bool {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for unix.Kill(pid, 0) == nil {
		select {
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
	return true
}
