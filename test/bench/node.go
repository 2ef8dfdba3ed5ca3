package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/ctrd"
)

// node is a machine with containerd that images are pulled to.
type node struct {
	in  *inputs
	reg *registry
	d   *ctrd.Daemon
	dir string
}

func startNode(ctx context.Context, in *inputs, reg *registry) (*node, error) {
	script, err := exec.CommandContext(ctx, filepath.Join(in.root, "scripts/containerd.sh")).Output()
	if err != nil {
		return nil, fmt.Errorf("scripts/containerd.sh: %w", err)
	}
	dir, err := os.MkdirTemp("", "node-") // a short path: it holds a socket
	if err != nil {
		return nil, err
	}
	d, err := ctrd.Start(ctx, strings.TrimSpace(string(script)), dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &node{in: in, reg: reg, d: d, dir: dir}, nil
}

func (n *node) stop() {
	n.d.Stop()
	_ = os.RemoveAll(n.dir) // in the folder for what is temporary
}

// client pulls one image.
type client func(n *node, ref string) []string

func warmer(n *node, ref string) []string {
	return []string{
		filepath.Join(n.in.root, "bin/warmer"), "pull", ref, "--containerd", n.d.Socket, "--containerd-root", n.d.Root, "--plain-http",
		"--disk-floor-percent", "1", "--output", "json",
	}
}

// alone has the warmer fetch all bytes by itself, as it does when there is a limit.
func alone(n *node, ref string) []string { return append(warmer(n, ref), "--transfer=false") }

// ctr is containerd's own client with its defaults.
func ctr(n *node, ref string) []string {
	return n.d.Ctr(context.Background(), "images", "pull", "--plain-http", "--platform", "linux/"+runtime.GOARCH, ref).Args
}

// direct is the image where nobody counts.
func (n *node) direct(ref string) string { return strings.Replace(ref, n.reg.host, n.reg.backend, 1) }

// pull measures a client on an image. Its memory is its own, the CPU time also containerd's.
func (n *node) pull(ctx context.Context, c client, ref string) (figures, error) {
	if err := exec.CommandContext(ctx, "sync").Run(); err != nil { // what others wrote is not waited for in our time
		return figures{}, err
	}
	sent := n.reg.sent.Load()
	before, err := daemonCPU(n.d.PID())
	if err != nil {
		return figures{}, err
	}
	args := c(n, ref)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CONTAINERD_ADDRESS="+n.d.Socket, "CONTAINERD_NAMESPACE=k8s.io")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return figures{}, err
	}
	peak := watchMemory(cmd.Process.Pid)
	err = cmd.Wait()
	f := figures{Wall: time.Since(began).Seconds(), RSS: peak()}
	if err != nil {
		return f, fmt.Errorf("%v: %w\n%s", args, err, tail(out.String()))
	}
	after, err := daemonCPU(n.d.PID())
	f.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() + after - before
	f.Pushed = float64(n.reg.sent.Load()-sent) / 1e6
	return f, err
}

// watchMemory looks at a process's high-water mark until it is asked for it, in MB. What the kernel says when it has ended would
// have that of the process that started it, too.
func watchMemory(pid int) (peak func() float64) {
	done := make(chan struct{})
	var most float64
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			most = max(most, daemonRSS(pid)*1024/1e6)
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return func() float64 { close(done); wg.Wait(); return most }
}

// clear removes every image and all that was held for them, and waits until it has gone.
func (n *node) clear(ctx context.Context) error {
	lists := []struct{ list, remove []string }{
		{[]string{"images", "ls", "-q"}, []string{"images", "rm"}},
		{[]string{"leases", "ls", "-q"}, []string{"leases", "rm"}},
	}
	for _, l := range lists {
		out, err := ctrd.Output(n.d.Ctr(ctx, l.list...))
		if err != nil {
			return err
		}
		if names := strings.Fields(out); len(names) > 0 {
			if _, err := ctrd.Output(n.d.Ctr(ctx, append(l.remove, names...)...)); err != nil {
				return err
			}
		}
	}
	if _, err := ctrd.Output(n.d.Ctr(ctx, "content", "prune", "references")); err != nil {
		return err
	}
	for _, what := range [][]string{{"content", "ls", "-q"}, {"snapshots", "ls"}} {
		out, err := ctrd.Output(n.d.Ctr(ctx, what...))
		if err != nil {
			return err
		}
		if lines := strings.Count(out, "\n"); lines > 1 {
			return fmt.Errorf("%d lines of %s are left on the node:\n%s", lines, what[0], tail(out))
		}
	}
	return nil
}

// resident is what an agent needs.
type resident struct {
	peak float64 // MB, until the image was warm
	idle float64 // seconds of CPU
	over time.Duration
}

// agent keeps an image warm and, with over, goes on for a while when it is. It fetches by itself, which takes more memory.
func (n *node) agent(ctx context.Context, ref string, over time.Duration) (resident, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(n.in.root, "bin/warmer"), "agent", "--image", ref, "--containerd", n.d.Socket,
		"--containerd-root", n.d.Root, "--plain-http", "--disk-floor-percent", "1", "--listen", "127.0.0.1:0", "--log-format", "json", "--transfer=false")
	log, err := cmd.StderrPipe()
	if err != nil {
		return resident{}, err
	}
	if err := cmd.Start(); err != nil {
		return resident{}, err
	}
	r := resident{over: over}
	err = untilWarm(log)
	go io.Copy(io.Discard, log) //nolint:errcheck // ends with the agent
	if err == nil {
		r.peak = daemonRSS(cmd.Process.Pid) * 1024 / 1e6
		r.idle, err = idle(ctx, cmd.Process.Pid, over)
	}
	err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM))
	if end := cmd.Wait(); cmd.ProcessState.ExitCode() != 128+int(syscall.SIGTERM) {
		err = errors.Join(err, end)
	}
	return r, err
}

func untilWarm(log io.Reader) error {
	var said strings.Builder
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ Msg string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "image is warm" {
			return nil
		}
		said.WriteString(lines.Text() + "\n")
	}
	return fmt.Errorf("the agent ended:\n%s", tail(said.String()))
}

// idle is the CPU time of a process that has nothing to do.
func idle(ctx context.Context, pid int, over time.Duration) (float64, error) {
	if over == 0 {
		return 0, nil
	}
	settle := time.NewTimer(2 * time.Second)
	<-settle.C
	before, err := daemonCPU(pid)
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(over):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := daemonCPU(pid)
	return after - before, err
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}
