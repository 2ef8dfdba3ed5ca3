package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/containerd"
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
}

func (o *workOptions) addTo(f *pflag.FlagSet) {
	o.floorBytes = 1 << 30
	f.BoolVar(&o.plainHTTP, "plain-http", false, "speak http to registries that --hosts-dir says nothing about")
	f.StringVar(&o.hostsDir, "hosts-dir", "/etc/containerd/certs.d", "containerd's folder of hosts.toml files: mirrors, certificates, headers")
	f.StringArrayVar(&o.dockerConfig, "docker-config", nil, "a docker config.json with credentials; may be repeated")
	f.Var(&o.bandwidth, "bandwidth", "bytes a second from registries, such as 50MiB; 0: no limit")
	f.IntVar(&o.pace.Fetches, "fetches", 4, "layers that are fetched at the same time")
	f.IntVar(&o.pace.Unpacks, "unpacks", 2, "layers that are unpacked at the same time")
	f.Var(&o.floorBytes, "disk-floor", "bytes of containerd's disk that stay free")
	f.IntVar(&o.floorPercent, "disk-floor-percent", 17, "percent of it that stay free; kubelet begins to evict at 15")
}

// client makes the registry client; r has what the flags do not say.
func (o *workOptions) client(ctx context.Context, r registry.Options) (*registry.Client, error) {
	r.HostsDir, r.PlainHTTP, r.Log = o.hostsDir, o.plainHTTP, cli.Log(ctx)
	r.Parallel, r.Chunk, r.Big = rangesAtOnce, rangeBytes, bigLayer
	r.Credentials.Files = o.dockerConfig
	return registry.New(r)
}

// options are what an agent needs of the flags.
func (o *workOptions) options(ctx context.Context, runtime *containerd.Runtime, client *registry.Client) agent.Options {
	pace := o.pace
	pace.Bandwidth = int64(o.bandwidth)
	return agent.Options{
		Runtime: runtime, Platform: runtime.Platform(), Registry: client, Throttle: client, Alone: pace, Playing: pace,
		FloorBytes: int64(o.floorBytes), FloorPercent: o.floorPercent, Log: cli.Log(ctx),
	}
}
