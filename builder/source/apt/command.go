package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// maxOutput bounds what is kept of a command's output. A closure of a thousand packages prints 300 KB.
const maxOutput = 16 << 20

// output is what a command said.
type output struct {
	stdout, stderr string
	ok             bool // it exited with 0
}

// run runs apt-get or apt-cache on this state. A command that says no is not an error.
func (s *state) run(ctx context.Context, tool string, args ...string) (output, error) {
	path, err := exec.LookPath(tool)
	if err != nil {
		return output{}, builder.Errorf(builder.Input, "build on Debian or Ubuntu or in a container of it, such as debian:stable-slim",
			"an apt source needs the program %s: %w", tool, err)
	}
	cmd := exec.CommandContext(ctx, path, append(s.arguments(), args...)...)
	cmd.Env = environment()
	var stdout, stderr bounded
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it starts others, which end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		return output{}, fmt.Errorf("run %s: %w", tool, ctx.Err())
	}
	exit, exited := errors.AsType[*exec.ExitError](err)
	if err != nil && (!exited || !exit.Exited()) {
		return output{}, fmt.Errorf("run %s: %w: %s", tool, err, stderr.tail())
	}
	if stdout.cut || stderr.cut {
		return output{}, fmt.Errorf("run %s: it printed more than %d bytes", tool, maxOutput)
	}
	return output{stdout: stdout.String(), stderr: stderr.String(), ok: err == nil}, nil
}

// environment lets through what network access takes, and nothing that changes what apt decides or how it talks.
func environment() []string {
	through := []string{"PATH", "TMPDIR", "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"}
	env := []string{"LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if slices.Contains(through, name) || slices.Contains(through[2:], strings.ToLower(name)) {
			env = append(env, e)
		}
	}
	return env
}

// bounded keeps the first maxOutput bytes.
type bounded struct {
	buf bytes.Buffer
	cut bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := maxOutput - b.buf.Len()
	b.cut = b.cut || len(p) > room
	b.buf.Write(p[:min(len(p), room)])
	return len(p), nil
}

func (b *bounded) String() string { return b.buf.String() }

// tail is the end of it, for an error message.
func (b *bounded) tail() string {
	s := strings.TrimSpace(b.String())
	return s[max(0, len(s)-500):]
}
