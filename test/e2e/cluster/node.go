package cluster

import (
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// NodeOptions say what a node is like.
type NodeOptions struct {
	Name string
	// Arm64 has its containerd fetch and run images for that architecture. They have to contain programs for this machine,
	// as nothing is emulated. What the Node object says of it is up to an admission policy: kubelet says what it is.
	Arm64 bool
	// Disk is how many bytes containerd's data may take, in memory: they go when the node is killed. 0 is the machine's disk.
	Disk int64
	// Taints are those that the node registers with.
	Taints []corev1.Taint
	// Kubelet is more of kubelet's configuration.
	Kubelet map[string]any
}

// Node is a machine with containerd, kubelet and kube-proxy: processes in namespaces of their own.
type Node struct {
	NodeOptions
	// IP is its address.
	IP string

	c     *Cluster
	index int
	init  *process
}

// AddNode starts a node and waits until it is Ready.
func (c *Cluster) AddNode(ctx context.Context, o NodeOptions) (*Node, error) {
	n := &Node{NodeOptions: o, c: c, index: len(c.nodes)}
	n.IP = nodeIP(n.index)
	subject := pkix.Name{CommonName: "system:node:" + n.Name, Organization: []string{"system:nodes"}}
	if err := c.authority.user(n.Name, apiURL, subject, []string{n.Name}, []net.IP{net.ParseIP(n.IP)}); err != nil {
		return nil, err
	}
	c.nodes = append(c.nodes, n)
	return n, n.Start(ctx)
}

// Start starts a node that was killed, with what it had on its disk.
func (n *Node) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := makeCgroup(n.cgroup()); err != nil {
		return fmt.Errorf("cgroup of %s: %w", n.Name, err)
	}
	spec, err := json.Marshal(nodeSpec{
		Name: n.Name, Index: n.index, Dir: filepath.Join(n.c.dir, n.Name), Bin: n.c.bin, Logs: n.c.logs(), PKI: n.c.authority.dir,
		Pause: n.c.Pause, Arm64: n.Arm64, Disk: n.Disk, Cgroup: n.cgroup(), Kubelet: n.Kubelet, Taints: n.Taints,
	})
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe") //nolint:noctx // until Kill
	cmd.Env = append(os.Environ(), nodeEnv+"="+string(spec))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	cable, err := cmd.StdinPipe() // its end says that the network is there
	if err != nil {
		return err
	}
	if n.init, err = start(n.c.logs(), n.Name, cmd); err != nil {
		return err
	}
	err = connect(ctx, n.index, cmd.Process.Pid)
	if err := errors.Join(err, cable.Close()); err != nil {
		return err
	}
	return n.init.until(ctx, n.Name, func() error { return n.Ready(ctx) })
}

func (n *Node) cgroup() string { return filepath.Base(n.c.dir) + "-" + n.Name }

// Ready says why it is not.
func (n *Node) Ready(ctx context.Context) error {
	node := &corev1.Node{}
	if err := n.c.Get(ctx, types.NamespacedName{Name: n.Name}, node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		// A node that was killed counts as Ready for some time: what it says has to be from its present life.
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return n.answers(ctx)
		}
	}
	return fmt.Errorf("%s is not Ready: %v", n.Name, node.Status.Conditions)
}

// answers says whether its kubelet does.
func (n *Node) answers(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(n.IP, "10250"))
	if err != nil {
		return err
	}
	return conn.Close()
}

// Kill ends it at once, with all its containers, as a power cut does.
func (n *Node) Kill() error {
	if n.init == nil {
		return nil
	}
	return n.init.kill()
}

// File is where a file below the node's /var/lib or /var/log is for us.
func (n *Node) File(name string) string { return filepath.Join(n.c.dir, n.Name, name) }

// Command runs a program on the node.
func (n *Node) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	enter := []string{"-t", strconv.Itoa(n.init.cmd.Process.Pid), "-m", "-p", "-n", "-u", "-i", "--", program}
	return exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
}

// Ctr runs containerd's client on the node, where kubelet's images are.
func (n *Node) Ctr(ctx context.Context, args ...string) (string, error) {
	cmd := n.Command(ctx, filepath.Join(n.c.bin, "ctr"), append([]string{"-n", "k8s.io"}, args...)...)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: ctr %s: %w: %s", n.Name, strings.Join(args, " "), err, exit.Stderr)
	}
	return string(out), err
}

// nodeSpec is what a process needs to be the first one of a node.
type nodeSpec struct {
	Name                               string
	Index                              int
	Dir, Bin, Logs, PKI, Pause, Cgroup string
	Arm64                              bool
	Disk                               int64
	Kubelet                            map[string]any
	Taints                             []corev1.Taint
}

// run is that process. It returns only if something failed.
func (s *nodeSpec) run() error {
	ctx := context.Background()
	if err := s.mounts(); err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until the network is there
		return err
	}
	if err := settle(ctx, s.Index); err != nil {
		return err
	}
	containerd := "containerd"
	if s.Arm64 {
		containerd += "-arm64"
	}
	daemon, err := s.daemon("containerd", containerd, "--config", s.file("containerd.toml"))
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := Until(waiting, time.Minute, "containerd", func() error {
		conn, err := (&net.Dialer{}).DialContext(waiting, "unix", "/run/containerd/containerd.sock")
		if err != nil {
			return err
		}
		return conn.Close()
	}); err != nil {
		return err
	}
	kubelet, err := s.daemon("kubelet", "kubelet", "--config="+s.file("kubelet.json"), "--kubeconfig="+filepath.Join(s.PKI, s.Name+".kubeconfig"),
		"--hostname-override="+s.Name, "--node-ip="+nodeIP(s.Index), "--v=2")
	if err != nil {
		return err
	}
	proxy, err := s.daemon("kube-proxy", "kube-proxy", "--config="+s.file("kube-proxy.json"))
	if err != nil {
		return err
	}
	return reap(map[int]string{daemon: "containerd", kubelet: "kubelet", proxy: "kube-proxy"})
}

// reap waits for whatever ends, as a first process has to, until a daemon does.
func reap(daemons map[int]string) error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if name := daemons[pid]; name != "" {
			return fmt.Errorf("%s ended: %v", name, status)
		}
	}
}

// daemon starts a program and leaves it to reap.
func (s *nodeSpec) daemon(name, program string, args ...string) (pid int, err error) {
	log, err := os.OpenFile(filepath.Join(s.Logs, s.Name+"."+name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.Bin, program), args...) //nolint:noctx // until the node is killed
	cmd.Env = append(os.Environ(), "PATH="+s.Bin+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}
