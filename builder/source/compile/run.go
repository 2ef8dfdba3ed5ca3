package compile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// killDelay is how long a command that is to end may take before it is killed.
const killDelay = 5 * time.Second

// local is the runner that uses this machine.
type local struct{}

// run starts the command in a process group of its own and returns when the whole group is gone.
func (local) run(ctx context.Context, job Job) (err error) {
	dir := filepath.Join(job.Work, filepath.FromSlash(job.Dir))
	program, err := lookPath(job.Command[0], job.Env["PATH"], dir)
	if err != nil {
		return builder.Errorf(builder.Input, "install it, or correct command", "%w", err)
	}
	cmd := exec.CommandContext(ctx, program, job.Command[1:]...)
	cmd.Args[0] = job.Command[0]
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, list(job.Env), job.Log, job.Log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
	if err := cmd.Start(); err != nil {
		return builder.Errorf(builder.Input, "correct command", "%w", err)
	}
	guard, err := startGuard(cmd.Process.Pid)
	if err != nil {
		err = errors.Join(err, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
	}
	werr := cmd.Wait()
	// What is left of the group goes too; while there is any, nobody else gets its number.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // an error says that nothing is left
	if err := errors.Join(err, guard.release()); err != nil {
		return err
	}
	if exit, ok := errors.AsType[*exec.ExitError](werr); ok && ctx.Err() == nil {
		return builder.Errorf(builder.Input, "", "%w", exit)
	}
	return werr
}

// guard is a process that ends a group when this one dies, however it dies.
type guard struct {
	cmd   *exec.Cmd
	alive *os.File // closed by the kernel when this process ends
}

func startGuard(group int) (*guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", `read -r over || kill -9 "-$0"`, fmt.Sprint(group)) //nolint:noctx // release ends it
	cmd.Env, cmd.Dir, cmd.Stdin = []string{}, "/", r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is not for it
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start guard: %w", err), w.Close())
	}
	return &guard{cmd, w}, nil
}

// release is called when the group is gone.
func (g *guard) release() error {
	if g == nil {
		return nil
	}
	_, err := g.alive.WriteString("over\n")
	if err = errors.Join(err, g.alive.Close(), g.cmd.Wait()); err != nil {
		return fmt.Errorf("release guard: %w", err)
	}
	return nil
}

// lookPath finds a program as a shell in dir would, but in another PATH than this process's.
func lookPath(program, searchPath, dir string) (string, error) {
	if strings.Contains(program, "/") {
		if !path.IsAbs(program) {
			program = filepath.Join(dir, program)
		}
		return program, executable(program)
	}
	for _, at := range filepath.SplitList(searchPath) {
		if name := filepath.Join(at, program); filepath.IsAbs(at) && executable(name) == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("program %q is not in %s", program, searchPath)
}

func executable(name string) error {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return err
	case info.IsDir() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not a program", name)
	}
	return nil
}

// list renders variables for a process.
func list(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}
