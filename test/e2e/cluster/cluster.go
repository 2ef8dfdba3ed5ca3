package cluster

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/scheme"
)

// Env names the folder with what a cluster consists of: scripts/kubernetes.sh makes one.
const Env = "KUBERNETES"

// Cluster is a control plane that runs. Its Client is an administrator's.
type Cluster struct {
	client.Client
	Config *rest.Config
	// Kubeconfig is the name of an administrator's.
	Kubeconfig string
	// Pause is the image of pods' sandboxes.
	Pause string

	dir, bin  string
	authority *authority
	processes []*process
	nodes     []*Node
}

// Start starts a control plane in the world, with its data in dir, and without nodes. Programs are taken from bin.
func Start(ctx context.Context, dir, bin, pause string) (c *Cluster, err error) {
	c = &Cluster{dir: dir, bin: bin, Pause: pause}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	if err := os.MkdirAll(c.logs(), 0o755); err != nil {
		return c, err
	}
	if err := network(ctx); err != nil {
		return c, err
	}
	if err := c.certify(); err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return c, c.boot(ctx)
}

func (c *Cluster) logs() string { return filepath.Join(c.dir, "logs") }

// certify makes certificates, and who uses them.
func (c *Cluster) certify() error {
	a, err := newAuthority(filepath.Join(c.dir, "pki"))
	if err != nil {
		return err
	}
	c.authority = a
	addresses := []net.IP{net.ParseIP(ControlPlane), net.ParseIP(serviceIP), net.IPv4(127, 0, 0, 1)}
	if err := a.issue("apiserver", pkix.Name{CommonName: "kube-apiserver"}, []string{"kubernetes.default.svc"}, addresses); err != nil {
		return err
	}
	for name, subject := range map[string]pkix.Name{
		"admin":                   {CommonName: "admin", Organization: []string{"system:masters"}},
		"kubelet-client":          {CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}},
		"kube-controller-manager": {CommonName: "system:kube-controller-manager"},
		"kube-scheduler":          {CommonName: "system:kube-scheduler"},
		"kube-proxy":              {CommonName: "system:kube-proxy"},
	} {
		if err := a.user(name, apiURL, subject, nil, nil); err != nil {
			return err
		}
	}
	c.Kubeconfig = a.path("admin.kubeconfig")
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	c.Config.QPS = -1
	return nil
}

func (c *Cluster) run(name string, args ...string) (*process, error) {
	p, err := start(c.logs(), name, exec.Command(filepath.Join(c.bin, name), args...)) //nolint:noctx // until Stop
	if err == nil {
		c.processes = append(c.processes, p)
	}
	return p, err
}

func (c *Cluster) boot(ctx context.Context) error {
	a := c.authority
	if _, err := c.run("etcd", "--data-dir", filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn"); err != nil {
		return err
	}
	server, err := c.run("kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--advertise-address="+ControlPlane, "--secure-port=6443",
		"--service-cluster-ip-range="+serviceRange, "--client-ca-file="+a.path("ca.crt"),
		"--tls-cert-file="+a.path("apiserver.crt"), "--tls-private-key-file="+a.path("apiserver.key"),
		"--kubelet-client-certificate="+a.path("kubelet-client.crt"), "--kubelet-client-key="+a.path("kubelet-client.key"),
		"--kubelet-certificate-authority="+a.path("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+a.path("sa.key"), "--service-account-signing-key-file="+a.path("sa.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true", "--profiling=false", "--v=1")
	if err != nil {
		return err
	}
	web, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		return err
	}
	defer web.CloseIdleConnections()
	if err := server.until(ctx, "API server", func() error {
		resp, err := web.Get(c.Config.Host + "/readyz") //nolint:noctx // the client has a limit
		if err != nil {
			return err
		}
		_ = resp.Body.Close() // its status counts
		if resp.StatusCode != 200 {
			return errors.New(resp.Status)
		}
		return nil
	}); err != nil {
		return err
	}
	if _, err := c.run("kube-controller-manager", "--kubeconfig="+a.path("kube-controller-manager.kubeconfig"), "--bind-address=127.0.0.1", "--leader-elect=false",
		"--service-account-private-key-file="+a.path("sa.key"), "--root-ca-file="+a.path("ca.crt"), "--use-service-account-credentials=true",
		"--node-monitor-period=2s", "--node-monitor-grace-period=20s", "--profiling=false"); err != nil {
		return err
	}
	if _, err := c.run("kube-scheduler", "--kubeconfig="+a.path("kube-scheduler.kubeconfig"), "--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false"); err != nil {
		return err
	}
	if c.Client, err = client.New(c.Config, client.Options{Scheme: scheme.New()}); err != nil {
		return err
	}
	return server.until(ctx, "default service account", func() error {
		return c.Get(ctx, types.NamespacedName{Namespace: "default", Name: "default"}, &corev1.ServiceAccount{})
	})
}

// Stop ends the nodes and the control plane.
func (c *Cluster) Stop() error {
	var failed []error
	for _, n := range c.nodes {
		failed = append(failed, n.Kill())
	}
	for _, p := range slices.Backward(c.processes) {
		failed = append(failed, p.kill())
	}
	return errors.Join(failed...)
}

// Kubectl runs the real one as an administrator, and returns what it writes to standard output.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := c.KubectlCommand(ctx, args...)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), fmt.Errorf("kubectl %v: %w: %s", args, err, exit.Stderr)
	}
	return string(out), err
}

// KubectlCommand is the command that [Cluster.Kubectl] runs.
func (c *Cluster) KubectlCommand(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
}

// Logs are the ends of the logs of the control plane and of all nodes.
func (c *Cluster) Logs() string {
	names, err := filepath.Glob(filepath.Join(c.logs(), "*.log"))
	if err != nil {
		return err.Error()
	}
	var all strings.Builder
	for _, n := range names {
		all.WriteString(tail(n) + "\n")
	}
	return all.String()
}
