// Package process runs a game as a child of the sidecar: its output goes through, signals reach it, its exit is told, and, where the
// sidecar is a container's first process, orphans are reaped.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process is a game that was started.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts argv with this process's environment and the variables env (NAME=VALUE), which count. Its standard input is an open pipe that never says anything: STK's console
// spins at the end of its input. The caller has to wait for Done.
func Start(ctx context.Context, argv, env []string, stdout, stderr io.Writer) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(context.WithoutCancel(ctx), argv[0], argv[1:]...), done: make(chan struct{})}
	p.cmd.Env = append(p.cmd.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the game: %w", err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCHLD)
	go p.forward(signals) // until the game ends, which Done tells
	go func() {
		p.err = p.cmd.Wait()
		_ = in.Close() // nobody reads it any more
		signal.Stop(signals)
		close(p.done)
	}()
	return p, nil
}

// forward hands on signals that say nothing to a sidecar, and reaps orphans.
func (p *Process) forward(signals <-chan os.Signal) {
	for {
		select {
		case s := <-signals:
			if s == unix.SIGCHLD {
				p.reap()
				continue
			}
			p.Signal(s)
		case <-p.done:
			return
		}
	}
}

// reap waits for children that this process did not start: those of a game's that died before them.
func (p *Process) reap() {
	if os.Getpid() != 1 {
		return
	}
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
			return
		}
		pid := childOf(&info)
		if pid == 0 || pid == p.cmd.Process.Pid {
			return // none, or the game, for which Wait waits
		}
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			return
		}
	}
}

// Signal sends the game a signal; it does nothing once the game has ended.
func (p *Process) Signal(s os.Signal) {
	_ = p.cmd.Process.Signal(s) // it has ended
}

// Done is closed when the game has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is the exit code of the game, as a shell has it, and what it died of in words. It must not be called before Done.
func (p *Process) Exit() (code int, how string) {
	exit, ok := errors.AsType[*exec.ExitError](p.err)
	switch {
	case p.err == nil:
		return 0, "exit status 0"
	case !ok:
		return 1, p.err.Error()
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), exit.Error()
	}
	return exit.ExitCode(), exit.Error()
}
