// Package ctrd runs a private containerd: with its own root, state and socket, as the first process of mount and process
// namespaces of its own. All that it mounts and starts, shims and containers included, ends with it. It needs root, and
// leaves the network as it is.
//
// It knows nothing of containerd's API: who talks to the daemon brings a client, or uses [Daemon.Ctr].
package ctrd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Daemon is a running containerd.
type Daemon struct {
	Socket string
	// Root is where it keeps its data.
	Root string

	dir, binary string
	cmd         *exec.Cmd
	ended       chan struct{}
}

const config = `version = 4
root = '%[1]s/root'
state = '%[1]s/state'
imports = []
[plugins.'io.containerd.server.v1.grpc']
  address = '%[1]s/s'
[plugins.'io.containerd.server.v1.ttrpc']
  address = '%[1]s/s.ttrpc'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
`

// patience is how long a daemon may take until it serves.
const patience = 30 * time.Second

// Start runs a containerd, whose shim and ctr lie beside it, until [Daemon.Stop] or until this process ends. dir is an empty
// folder with a short path, as it holds a socket; it may be removed after Stop.
func Start(ctx context.Context, binary, dir string) (*Daemon, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("containerd needs root")
	}
	d := &Daemon{Socket: filepath.Join(dir, "s"), Root: filepath.Join(dir, "root"), dir: dir, binary: binary, ended: make(chan struct{})}
	configuration := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(configuration, fmt.Appendf(nil, config, dir), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// Shims keep sockets and fifos in /run whatever the configuration says.
	script := `mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs tmpfs /run && exec "$0" --config "$1"`
	d.cmd = exec.CommandContext(context.WithoutCancel(ctx), "sh", "-c", script, binary, configuration) // Stop ends it
	d.cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start containerd: %w", err)
	}
	go func() { // joined by Stop
		_ = d.cmd.Wait() // it was killed, or its log says why it ended
		close(d.ended)
	}()
	if err := d.untilServing(ctx); err != nil {
		d.Stop()
		return nil, err
	}
	return d, nil
}

func (d *Daemon) untilServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if d.Ctr(ctx, "version").Run() == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.ended:
			return fmt.Errorf("containerd ended:\n%s", d.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("containerd does not serve: %w\n%s", ctx.Err(), d.lastWords())
		}
	}
}

func (d *Daemon) lastWords() []byte {
	raw, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil {
		return []byte(err.Error())
	}
	return raw[max(0, len(raw)-4000):]
}

// Stop kills the daemon and all that it started, and waits for its end. It may be called again.
func (d *Daemon) Stop() {
	_ = d.cmd.Process.Kill() // or it has ended already
	<-d.ended
}

// PID is the daemon's, as seen from here.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Seen is where a file of the daemon's mounts is seen from here.
func (d *Daemon) Seen(path string) string { return fmt.Sprintf("/proc/%d/root%s", d.PID(), path) }

// Rootfs is the root of a running container of kubelet's namespace, as seen from here.
func (d *Daemon) Rootfs(name string) string {
	return d.Seen(filepath.Join(d.dir, "state", "io.containerd.runtime.v2.task", "k8s.io", name, "rootfs"))
}

// Ctr is a command of containerd's own client, in kubelet's namespace.
func (d *Daemon) Ctr(ctx context.Context, args ...string) *exec.Cmd {
	return d.client(exec.CommandContext(ctx, d.ctr(), args...))
}

// Inside is the same among the daemon's mounts and processes, where containers can be started.
func (d *Daemon) Inside(ctx context.Context, args ...string) *exec.Cmd {
	enter := []string{"--target", strconv.Itoa(d.PID()), "--mount", "--pid", d.ctr()}
	return d.client(exec.CommandContext(ctx, "nsenter", append(enter, args...)...))
}

func (d *Daemon) ctr() string { return filepath.Join(filepath.Dir(d.binary), "ctr") }

func (d *Daemon) client(c *exec.Cmd) *exec.Cmd {
	c.Env = append(os.Environ(), "CONTAINERD_ADDRESS="+d.Socket, "CONTAINERD_NAMESPACE=k8s.io")
	return c
}

// Output runs a command and returns what it printed; what else it said is in the error.
func Output(c *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%v: %w: %s", c.Args, err, &stderr)
	}
	return string(out), nil
}
