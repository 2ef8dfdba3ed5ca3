package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
)

// workOptions are the flags of commands that fetch.
type workOptions struct {
	plainHTTP    bool
	bandwidth    size
	fetches      int
	unpacks      int
	floorBytes   size
	floorPercent int
	attempts     int
}

func (o *workOptions) addTo(f *pflag.FlagSet) {
	o.floorBytes = 1 << 30
	f.BoolVar(&o.plainHTTP, "plain-http", false, "speak http to registries")
	f.Var(&o.bandwidth, "bandwidth", "bytes a second from registries, such as 50MiB; 0: no limit")
	f.IntVar(&o.fetches, "fetches", 4, "layers that are fetched at the same time")
	f.IntVar(&o.unpacks, "unpacks", 2, "layers that are unpacked at the same time")
	f.Var(&o.floorBytes, "disk-floor", "bytes of containerd's disk that stay free")
	f.IntVar(&o.floorPercent, "disk-floor-percent", 17, "percent of containerd's disk that stay free; kubelet begins to evict at 15")
	f.IntVar(&o.attempts, "attempts", 5, "failures in a row after which a pull gives up")
}

func (o *workOptions) agentOptions(ctx context.Context, runtime warmer.Runtime) (agent.Options, error) {
	registry := standin{plainHTTP: o.plainHTTP}
	pace := agent.Pace{Fetches: o.fetches, Unpacks: o.unpacks, Bandwidth: int64(o.bandwidth)}
	return agent.Options{
		Runtime: runtime, Registry: registry, Alone: pace, Playing: pace, FloorBytes: int64(o.floorBytes), FloorPercent: o.floorPercent,
		Attempts: o.attempts, Log: cli.Log(ctx),
	}, nil
}
