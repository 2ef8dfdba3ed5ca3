package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// process is a daemon with a log. It ends with the world at the latest.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
}

// start runs a program; logs is a folder.
func start(logs, name string, cmd *exec.Cmd) (*process, error) {
	p := &process{name: name, cmd: cmd, log: filepath.Join(logs, name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { _ = cmd.Wait(); close(p.ended) }() // kill joins it; what was killed ended as it should
	return p, nil
}

func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	return nil
}

// until calls f until it returns nil, for as long as the context and the process last.
func (p *process) until(ctx context.Context, what string, f func() error) error {
	var ended <-chan struct{}
	if p != nil {
		ended = p.ended
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("%s: %s ended: %s", what, p.name, tail(p.log))
		case <-ctx.Done():
			if p != nil {
				return fmt.Errorf("%s: %w: %w\n%s", what, ctx.Err(), err, tail(p.log))
			}
			return fmt.Errorf("%s: %w: %w", what, ctx.Err(), err)
		}
	}
}

// Until calls f until it returns nil, for at most that long, and says what was waited for.
func Until(ctx context.Context, patience time.Duration, what string, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return (*process)(nil).until(ctx, what, f)
}

// tail is the end of a log.
func tail(name string) string {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s:\n%s", name, raw[max(0, len(raw)-4000):])
}
