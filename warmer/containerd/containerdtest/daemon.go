package containerdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/warmer/containerd"
)

// Env names the containerd to run; scripts/containerd.sh builds one. Its shim and ctr lie beside it.
const Env = "CONTAINERD"

// Daemon is a containerd of a test.
type Daemon struct {
	Socket string
	// Root is where it keeps its data.
	Root string

	t testing.TB
	// Version is what the daemon says of itself.
	Version string
	disk    int64
	dir     string
	binary  string
	cmd     *exec.Cmd
	ended   chan struct{}
}

// Start runs a containerd until the test ends. It skips the test without root, or without a containerd in the environment.
func Start(t testing.TB) *Daemon {
	t.Helper()
	return start(t, 0)
}

// StartSmall runs one whose data lies on a disk of a number of bytes. [Daemon.Seen] is where others see it.
func StartSmall(t testing.TB, bytes int64) *Daemon {
	t.Helper()
	return start(t, bytes)
}

func start(t testing.TB, disk int64) *Daemon {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: runs a real containerd")
	}
	binary := os.Getenv(Env)
	if binary == "" {
		t.Skip("needs a containerd in " + Env + ": scripts/containerd.sh builds one")
	}
	if os.Geteuid() != 0 {
		t.Skip("containerd needs root")
	}
	dir, err := os.MkdirTemp("", "ctrd-") //nolint:usetesting // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	d := &Daemon{Socket: filepath.Join(dir, "s"), Root: filepath.Join(dir, "root"), disk: disk, t: t, dir: dir, binary: binary}
	d.configure()
	d.run()
	t.Cleanup(d.Kill)
	return d
}

const config = `version = 4
root = '%[2]s'
state = '%[1]s/state'
imports = []
[plugins.'io.containerd.server.v1.grpc']
  address = '%[1]s/s'
[plugins.'io.containerd.server.v1.ttrpc']
  address = '%[1]s/s.ttrpc'
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '%[1]s/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
`

// config1 is for containerd 1.x.
const config1 = `version = 2
root = '%[2]s'
state = '%[1]s/state'
[grpc]
  address = '%[1]s/s'
[ttrpc]
  address = '%[1]s/s.ttrpc'
[plugins.'io.containerd.grpc.v1.cri']
  restrict_oom_score_adj = true
[plugins.'io.containerd.grpc.v1.cri'.registry]
  config_path = '%[1]s/certs.d'
`

func (d *Daemon) configure() {
	d.t.Helper()
	version, err := exec.CommandContext(d.t.Context(), d.binary, "--version").Output()
	if err != nil {
		d.t.Fatal(err)
	}
	format := config
	d.Version = string(version)
	if regexp.MustCompile(` v?1\.\d`).Match(version) {
		format = config1
	}
	for _, sub := range []string{d.Root, filepath.Join(d.dir, "state"), filepath.Join(d.dir, "certs.d")} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	d.write("config.toml", fmt.Sprintf(format, d.dir, d.Root))
}

func (d *Daemon) write(name, text string) {
	d.t.Helper()
	name = filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// PlainHTTP has CRI, and whoever reads [Daemon.Hosts], speak http to a registry.
func (d *Daemon) PlainHTTP(host string) {
	d.t.Helper()
	d.write(filepath.Join("certs.d", host, "hosts.toml"), fmt.Sprintf("server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", "http://"+host, "http://"+host))
}

// Hosts is the folder with hosts.toml files.
func (d *Daemon) Hosts() string { return filepath.Join(d.dir, "certs.d") }

// run starts the daemon as the first process of its namespaces and waits until it serves.
func (d *Daemon) run() {
	d.t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	script := `mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs tmpfs /run && if [ "$3" != 0 ]; then mount -t tmpfs -o "size=$3" tmpfs "$2"; fi && exec "$0" --config "$1"`
	d.cmd = exec.CommandContext(context.WithoutCancel(d.t.Context()), "sh", "-c", script, d.binary, filepath.Join(d.dir, "config.toml"), d.Root, strconv.FormatInt(d.disk, 10))
	d.cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(d.binary)+":"+os.Getenv("PATH"))
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan struct{})
	cmd := d.cmd
	go func() { _ = cmd.Wait(); close(ended) }() // Kill joins it; a daemon that was killed ended as it should
	d.ended = ended
	d.untilServing()
}

func (d *Daemon) untilServing() {
	d.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		if conn, err := (&net.Dialer{}).DialContext(d.t.Context(), "unix", d.Socket); err == nil {
			_ = conn.Close() // it was there
			if r, err := containerd.Open(d.t.Context(), containerd.Options{Socket: d.Socket}); err == nil {
				_ = r.Close() // it answered
				return
			}
		}
		select {
		case <-tick.C:
		case <-d.ended:
			d.t.Fatalf("containerd ended:\n%s", d.Log())
		case <-deadline:
			d.t.Fatalf("containerd does not serve:\n%s", d.Log())
		}
	}
}

// Kill ends the daemon and all that it started, at once.
func (d *Daemon) Kill() {
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Error(err)
	}
	<-d.ended
}

// Restart kills the daemon and starts it again on the same data.
func (d *Daemon) Restart() {
	d.t.Helper()
	d.Kill()
	if err := os.Remove(d.Socket); err != nil {
		d.t.Fatal(err)
	}
	d.run()
}

// Log is what the daemon wrote.
func (d *Daemon) Log() string {
	raw, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// Pins says that its CRI knows of pinned images, as all do since 1.7.
func (d *Daemon) Pins() bool { return !strings.Contains(d.Version, " 1.6.") }

// Transfers says that it brings images by itself, as all do since 2.0.
func (d *Daemon) Transfers() bool { return !strings.Contains(d.Version, " 1.") }

// Rebases says that its snapshots can get their parents later, as all can since 2.2; those between are not tested with.
func (d *Daemon) Rebases() bool { return !strings.Contains(d.Version, " 1.") }

// Seen is the daemon's root as processes outside of its namespaces see it.
func (d *Daemon) Seen() string { return fmt.Sprintf("/proc/%d/root%s", d.cmd.Process.Pid, d.Root) }

// Runtime connects to the daemon until the test ends.
func (d *Daemon) Runtime(owner string) *containerd.Runtime {
	d.t.Helper()
	r, err := containerd.Open(d.t.Context(), containerd.Options{Socket: d.Socket, Owner: owner})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = r.Close() }) // the daemon may be gone
	return r
}

// Ctr runs containerd's client and returns its output, without the warnings that it writes beside it.
func (d *Daemon) Ctr(args ...string) string {
	d.t.Helper()
	out, err := d.TryCtr(args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// Inside runs containerd's client in the daemon's namespaces, where it can start containers, and returns all that is said.
func (d *Daemon) Inside(args ...string) string {
	d.t.Helper()
	out, said, err := d.command("nsenter", append([]string{"--target", strconv.Itoa(d.cmd.Process.Pid), "--mount", "--pid", d.ctr()}, args...)...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out + said
}

// TryCtr runs containerd's client, which may fail.
func (d *Daemon) TryCtr(args ...string) (string, error) {
	out, _, err := d.command(d.ctr(), args...)
	return out, err
}

func (d *Daemon) ctr() string { return filepath.Join(filepath.Dir(d.binary), "ctr") }

func (d *Daemon) command(name string, args ...string) (out, said string, err error) {
	cmd := exec.CommandContext(d.t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "CONTAINERD_ADDRESS="+d.Socket, "CONTAINERD_NAMESPACE=k8s.io")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), stderr.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), stderr.String(), nil
}
