package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// The addresses of the control plane and the registry, and of the API server's Service.
const (
	ControlPlane = "198.18.0.1"
	Registry     = ControlPlane + ":5000"
	apiURL       = "https://" + ControlPlane + ":6443"
	serviceRange = "198.19.0.0/16"
	serviceIP    = "198.19.0.1"
	podRange     = "198.18.0.0/16"
	bridge       = "nodes"
)

func nodeIP(index int) string    { return fmt.Sprintf("198.18.0.%d", 10+index) }
func podSubnet(index int) string { return fmt.Sprintf("198.18.%d.0/24", 10+index) }

// nodeOf is the index of the node that an address belongs to, its own or that of a pod on it; -1 for anybody else.
func nodeOf(address string) int {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host).To4()
	switch {
	case err != nil || ip == nil || ip[0] != 198 || ip[1] != 18:
		return -1
	case ip[2] == 0 && ip[3] >= 10:
		return int(ip[3]) - 10
	case ip[2] >= 10:
		return int(ip[2]) - 10
	}
	return -1
}

// ip runs the command of that name, once for each line.
func ip(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// network is what nodes are connected to.
func network(ctx context.Context) error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600); err != nil {
		return err
	}
	return ip(ctx, "link add "+bridge+" type bridge", "addr add "+ControlPlane+"/24 dev "+bridge, "link set "+bridge+" up")
}

// connect gives a process's network an interface eth0, on the bridge.
func connect(ctx context.Context, index, pid int) error {
	door := "node" + strconv.Itoa(index)
	_ = ip(ctx, "link del "+door) // that of a node that was killed, whose network the kernel removes some time later
	return ip(ctx,
		fmt.Sprintf("link add %s type veth peer name eth0 netns %d", door, pid),
		fmt.Sprintf("link set %s master %s up", door, bridge),
		fmt.Sprintf("route replace %s via %s", podSubnet(index), nodeIP(index)))
}

// settle is the other end.
func settle(ctx context.Context, index int) error {
	return ip(ctx, "link set lo up", fmt.Sprintf("addr add %s/24 dev eth0", nodeIP(index)), "link set eth0 up", "route add default via "+ControlPlane)
}
