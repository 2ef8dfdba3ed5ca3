package container

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Listening is the log line after which STK answers players.
const Listening = "STKHost: Listening has been started"

var errExited = errors.New("exit status 0")

// Server is a running STK container.
type Server struct {
	// Log is STK's own, unbuffered log file.
	Log string

	id, state string
	cmd       *exec.Cmd
	output    strings.Builder
	exited    chan struct{}
	err       error
}

// count keeps the names of one process's containers apart.
var count atomic.Int64

// Start runs the image config's program on rootfs (see [Unpack]). dir is an empty folder for the bundle and the server's
// home; the caller removes it after [Server.Stop].
func Start(ctx context.Context, rootfs, dir string, cf *v1.ConfigFile, options ...Option) (*Server, error) {
	home := filepath.Join(dir, "home")
	if err := makeHome(home, cf.Config.User); err != nil {
		return nil, err
	}
	s, err := runtimeSpec(rootfs, home, cf, options)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600); err != nil {
		return nil, err
	}
	srv := &Server{
		Log: filepath.Join(home, "config", "supertuxkart", "config-0.10", "server_config.log"),
		id:  "stk-" + cf.Architecture + "-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(count.Add(1), 10), state: filepath.Join(dir, "state"), exited: make(chan struct{}),
	}
	srv.cmd = exec.CommandContext(ctx, "runc", "--root", srv.state, "run", "--bundle", dir, srv.id)
	srv.cmd.Stdout, srv.cmd.Stderr = &srv.output, &srv.output
	srv.cmd.Cancel = func() error { return srv.cmd.Process.Signal(os.Interrupt) }
	if err := srv.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start runc: %w", err)
	}
	go func() { // joined by Stop and by WaitListening
		srv.err = srv.cmd.Wait()
		close(srv.exited)
	}()
	return srv, nil
}

func makeHome(home, userSpec string) error {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := numericUser(userSpec)
	if err != nil {
		return err
	}
	return os.Chown(home, uid, gid)
}

// WaitListening returns the log line that says the server listens. It fails when the server exits or ctx ends before.
func (s *Server) WaitListening(ctx context.Context) (string, error) {
	return s.WaitLine(ctx, Listening)
}

// WaitLine returns the first whole line of the server's log that contains text. It fails when the server exits or ctx
// ends before.
func (s *Server) WaitLine(ctx context.Context, text string) (string, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		line, err := s.find(text)
		if err != nil || line != "" {
			return line, err
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return "", fmt.Errorf("server exited before it logged %q: %w\n%s", text, cmp.Or(s.err, errExited), s.lastWords())
		case <-ctx.Done():
			return "", fmt.Errorf("server does not log %q: %w", text, ctx.Err())
		}
	}
}

// Runs returns nil when the server has gone on for d, and an error when it exits or ctx ends before.
func (s *Server) Runs(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-s.exited:
		return fmt.Errorf("server exited: %w\n%s", cmp.Or(s.err, errExited), s.lastWords())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lastWords are the last lines of the log, or, if there is none, of the output.
func (s *Server) lastWords() string {
	raw, err := os.ReadFile(s.Log)
	if err != nil {
		raw = []byte(s.output.String())
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

func (s *Server) find(text string) (string, error) {
	raw, err := os.ReadFile(s.Log)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
			return strings.TrimSpace(line), nil
		}
	}
	return "", nil
}

// Stop sends SIGTERM as kubelet would, waits for the end, and removes the container. It returns an error if the
// server did not exit cleanly within the grace period and had to be killed.
func (s *Server) Stop(ctx context.Context, grace time.Duration) error {
	// runc run deletes the container itself unless it was killed: then this does, or there is nothing left to delete.
	defer func() { _ = s.runc(ctx, "delete", "--force", s.id) }() // see above
	if err := s.runc(ctx, "kill", s.id, "TERM"); err != nil {
		select {
		case <-s.exited: // it ended by itself: the exit code decides
		default:
			return fmt.Errorf("stop %s: %w", s.id, err)
		}
	}
	select {
	case <-s.exited:
		return s.err
	case <-time.After(grace):
		_ = s.runc(ctx, "kill", s.id, "KILL") // a failure means that it is gone
		<-s.exited
		return fmt.Errorf("server ignored SIGTERM for %s", grace)
	}
}

func (s *Server) runc(ctx context.Context, args ...string) error {
	return exec.CommandContext(ctx, "runc", append([]string{"--root", s.state}, args...)...).Run()
}
