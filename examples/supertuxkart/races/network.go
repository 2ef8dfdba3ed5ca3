package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/namespace"
)

// holdEnv makes this program keep a network namespace open until its standard input ends.
const holdEnv = "PITCREW_RACES_HOLD"

// newNetwork returns the path of a network namespace that has nothing but loopback, and what gives it up.
func newNetwork(ctx context.Context) (path string, release func() error, err error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), holdEnv+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("make a network: %w", err)
	}
	release = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return "", nil, errors.Join(fmt.Errorf("make a network: %w", err), release())
	}
	return fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid), release, nil
}

// hold runs in the new namespace.
func hold() int {
	if err := namespace.LoopbackUp(); err != nil {
		fmt.Fprintln(os.Stderr, "races:", err)
		return 1
	}
	fmt.Println("up")
	_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
	return 0
}
