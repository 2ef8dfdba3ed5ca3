package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/namespace"
)

// What this program is when it was started again.
const (
	worldEnv = "PITCREW_E2E_WORLD"
	nodeEnv  = "PITCREW_E2E_NODE"
)

// prefix begins the names of everything that a run leaves where others can see it.
const prefix = "pitcrew-e2e-"

// Supported says why this process cannot run a cluster.
func Supported() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster's nodes need root")
	}
	const need = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
	if have, err := capabilities(); err != nil || have&need != need {
		return fmt.Errorf("a cluster's nodes need CAP_SYS_ADMIN and CAP_NET_ADMIN, and there is %#x (%w)", have, err)
	}
	for _, tool := range []string{"runc", "iptables", "ip", "nsenter", "/usr/lib/cni/bridge"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("needs %s: scripts/deps.sh e2e installs it", tool)
		}
	}
	if len(hierarchies()) == 0 {
		return errors.New("kubelet needs cgroups, and none are mounted")
	}
	return nil
}

func capabilities() (effective uint64, err error) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(raw), "\nCapEff:")
	_, err = fmt.Sscanf(rest, "%x", &effective)
	return effective, err
}

// Inside is to be called first of all by a program that makes clusters. It says whether the program is in a world of its own
// by now, and in which folder it can keep what it makes, which is removed afterwards. A program that was started as a node
// never returns.
func Inside() (dir string, inside bool, err error) {
	if described := os.Getenv(nodeEnv); described != "" {
		var n nodeSpec
		err := json.Unmarshal([]byte(described), &n)
		if err == nil {
			err = n.run()
		}
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
	if dir = os.Getenv(worldEnv); dir == "" {
		return "", false, nil
	}
	return dir, true, namespace.Settle()
}

// Enter runs this program again, with the same arguments, as the first process of namespaces of its own, and returns its exit
// code. All that it made is removed then, and before it what earlier runs left that were killed.
func Enter() (code int, err error) {
	if err := removeLeftovers(); err != nil {
		return 1, err
	}
	dir, unlock, err := claim()
	if err != nil {
		return 1, err
	}
	defer unlock()
	defer func() { err = errors.Join(err, remove(dir)) }()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(stop)
	runtime.LockOSThread() // the death of this very thread is what Pdeathsig is about
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx // it is killed below
	cmd.Env = append(os.Environ(), worldEnv+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("make namespaces: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // joined below
	select {
	case err = <-ended:
	case s := <-stop:
		err = errors.Join(fmt.Errorf("stopped by %s", s), cmd.Process.Kill(), <-ended)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// claim makes the folder of this run, whose lock says that somebody uses it.
func claim() (dir string, unlock func(), err error) {
	dir, err = os.MkdirTemp("", prefix)
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // containers are other users
		return "", nil, err
	}
	unlock, err = lock(dir)
	return dir, unlock, err
}

func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // unlocks; nothing was written
}

// removeLeftovers removes what runs left that were killed.
func removeLeftovers() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		unlock, err := lock(dir)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // somebody is at work there, or just left
		}
		if err != nil {
			return err
		}
		err = remove(dir)
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// remove removes what a run left: the cgroups of its nodes, and then its folder.
func remove(dir string) error {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := removeCgroups(filepath.Base(dir))
		if err == nil {
			return os.RemoveAll(dir)
		}
		select {
		case <-tick.C: // processes that were killed are in there for a moment
		case <-deadline:
			return fmt.Errorf("left over: %w", err)
		}
	}
}
