package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/namespace"
)

// kernel are settings of the whole machine that kubelet would write. It is shown files that have the values that it wants, so
// that it leaves the machine's alone.
var kernel = map[string]string{
	"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// mounts gives the node folders of its own where kubelet and containerd keep things.
func (s *nodeSpec) mounts() error {
	if err := namespace.Settle(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(s.Name)); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, dir := range []string{"/run/containerd", "/run/lock"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/var/lib", "/var/log"} {
		own := s.file(dir)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(own, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	for _, dir := range []string{"/var/lib/kubelet", "/var/lib/containerd", "/var/log/pods", "/var/log/containers"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if s.Disk > 0 {
		if err := unix.Mount("containerd", "/var/lib/containerd", "tmpfs", 0, "size="+strconv.FormatInt(s.Disk, 10)); err != nil {
			return fmt.Errorf("mount containerd's disk: %w", err)
		}
	}
	files := map[string]string{"/etc/hosts": "127.0.0.1 localhost\n" + nodeIP(s.Index) + " " + s.Name + "\n", "/etc/resolv.conf": ""}
	for name, value := range kernel {
		files["/proc/sys/"+name] = value + "\n"
	}
	for name, content := range files {
		if err := s.pretend(name, content); err != nil {
			return err
		}
	}
	// As an init system does: volumes can ask for what is mounted later, and get nothing from outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts: %w", err)
	}
	return s.forward()
}

// pretend shows a file with other content than the machine's, where the machine has it.
func (s *nodeSpec) pretend(name, content string) error {
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := s.write(name, content); err != nil {
		return err
	}
	if err := unix.Mount(s.file(name), name, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", name, err)
	}
	return nil
}

// forward has the node's network pass on what is pods'.
func (s *nodeSpec) forward() error {
	for _, name := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/bridge/bridge-nf-call-iptables"} {
		if err := os.WriteFile(name, []byte("1"), 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// file is where the node's own file of a name is.
func (s *nodeSpec) file(name string) string { return filepath.Join(s.Dir, name) }

func (s *nodeSpec) write(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(s.file(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(s.file(name), []byte(content), 0o644) //nolint:gosec // containers are other users
}

// containerdConfig: runc may not lower the OOM score without CAP_SYS_RESOURCE, which containers that run tests lack.
const containerdConfig = `version = 4
root = '/var/lib/containerd'
state = '/run/containerd'
imports = []
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '%[2]s'
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '/var/lib/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/usr/lib/cni']
  conf_dir = '%[1]s/cni'
`

const hosts = `server = "http://%[1]s"
[host."http://%[1]s"]
  capabilities = ["pull", "resolve"]
`

const cni = `{"cniVersion": "1.0.0", "name": "e2e", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": %q}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}`

// configure writes what the daemons read.
func (s *nodeSpec) configure() error {
	proxy, err := json.Marshal(map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
		"hostnameOverride": s.Name, "clusterCIDR": podRange, "conntrack": map[string]any{"maxPerCore": 0, "min": 0},
		"clientConnection": map[string]any{"kubeconfig": filepath.Join(s.PKI, "kube-proxy.kubeconfig")},
	})
	if err != nil {
		return err
	}
	kubelet, err := json.Marshal(s.kubelet())
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"containerd.toml": fmt.Sprintf(containerdConfig, s.Dir, s.Pause),
		"var/lib/certs.d/" + Registry + "/hosts.toml": fmt.Sprintf(hosts, Registry),
		"cni/10-e2e.conflist":                         fmt.Sprintf(cni, podSubnet(s.Index)),
		"kubelet.json":                                string(kubelet),
		"kube-proxy.json":                             string(proxy),
	} {
		if err := s.write(name, content); err != nil {
			return err
		}
	}
	return nil
}

func (s *nodeSpec) kubelet() map[string]any {
	cert := func(name string) string { return filepath.Join(s.PKI, name) }
	k := map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"failCgroupV1": false, "cgroupDriver": "cgroupfs", "cgroupRoot": "/" + s.Cgroup, "failSwapOn": false,
		"containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": false}, "x509": map[string]any{"clientCAFile": cert("ca.crt")},
		},
		"authorization": map[string]any{"mode": "AlwaysAllow"},
		"tlsCertFile":   cert(s.Name + ".crt"), "tlsPrivateKeyFile": cert(s.Name + ".key"),
		"resolvConf": s.file("/etc/resolv.conf"), "serializeImagePulls": false,
		// The machine's disk is shared with others, and how full it is nobody's business here.
		"imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
		"evictionHard": map[string]string{"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
	}
	if len(s.Taints) > 0 {
		k["registerWithTaints"] = s.Taints
	}
	maps.Copy(k, s.Kubelet)
	return k
}
