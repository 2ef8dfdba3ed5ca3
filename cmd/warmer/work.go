package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/containerd"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubelet"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

// Ranges of one big layer and their size: with four layers at a time they make 8 MiB of buffers. Smaller layers, of which there
// are several at a time anyway, are faster in one request each.
const (
	rangesAtOnce = 4
	rangeBytes   = 512 << 10
	bigLayer     = 64 << 20
)

// workOptions are the flags of commands that fetch.
type workOptions struct {
	plainHTTP    bool
	hostsDir     string
	dockerConfig []string
	pace         agent.Pace
	bandwidth    size
	floorBytes   size
	floorPercent int
	kubelet      []string
	transfer     bool
}

func (o *workOptions) addTo(f *pflag.FlagSet) {
	o.floorBytes = 1 << 30
	f.BoolVar(&o.plainHTTP, "plain-http", false, "speak http to registries that --hosts-dir says nothing about")
	f.StringVar(&o.hostsDir, "hosts-dir", "/etc/containerd/certs.d", "containerd's folder of hosts.toml files: mirrors, certificates, headers")
	f.StringArrayVar(&o.dockerConfig, "docker-config", nil, "a docker config.json with credentials; may be repeated")
	f.Var(&o.bandwidth, "bandwidth", "bytes a second from registries, such as 50MiB; 0: no limit")
	f.BoolVar(&o.transfer, "transfer", true, "while no limit is in force have containerd 2 fetch by itself, which is faster; --hosts-dir has to be the path that containerd has, too")
	f.IntVar(&o.pace.Fetches, "fetches", 4, "layers that are fetched at the same time")
	f.IntVar(&o.pace.Unpacks, "unpacks", 2, "layers that are unpacked at the same time")
	f.Var(&o.floorBytes, "disk-floor", "bytes of containerd's disk that stay free")
	f.IntVar(&o.floorPercent, "disk-floor-percent", 17, "percent of it that stay free; kubelet begins to evict at 15 unless --kubelet-config says otherwise")
	f.StringArrayVar(&o.kubelet, "kubelet-config", nil, "kubelet's configuration, a file or a folder of *.conf: more than its thresholds stays free, whatever the floor's flags say; may be repeated")
}

// client makes the registry client; r has what the flags do not say.
func (o *workOptions) client(ctx context.Context, r registry.Options) (*registry.Client, error) {
	r.HostsDir, r.PlainHTTP, r.Log = o.hostsDir, o.plainHTTP, cli.Log(ctx)
	r.Parallel, r.Chunk, r.Big = rangesAtOnce, rangeBytes, bigLayer
	r.Credentials.Files = o.dockerConfig
	return registry.New(r)
}

// options are what an agent needs of the flags.
func (o *workOptions) options(ctx context.Context, runtime *containerd.Runtime, client *registry.Client) (agent.Options, error) {
	pace := o.pace
	pace.Bandwidth = int64(o.bandwidth)
	out := agent.Options{
		Runtime: runtime, Platform: runtime.Platform(), Registry: client, Throttle: client, Alone: pace, Playing: pace,
		FloorBytes: int64(o.floorBytes), FloorPercent: o.floorPercent, Log: cli.Log(ctx),
	}
	if o.transfer {
		access := client.Access()
		out.Access = &access
	}
	if len(o.kubelet) == 0 {
		return out, nil
	}
	t, err := kubelet.Read(o.kubelet...)
	if err != nil {
		return out, fmt.Errorf("--kubelet-config: %w", err)
	}
	out.FloorBytes = max(out.FloorBytes, t.Bytes+distanceBytes)
	out.FloorPercent = max(out.FloorPercent, min(100, t.Percent+distancePercent))
	return out, nil
}

// How far from kubelet's thresholds we stay: it looks at the disk every 10 seconds only, and others write too.
const (
	distanceBytes   = 1 << 30
	distancePercent = 2
)
