package main

import (
	"context"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/kube"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/node"
)

// clusterOptions are the flags of commands that talk to Kubernetes.
type clusterOptions struct {
	kubeconfig string
	node       string
	state      string
}

func (o *clusterOptions) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "how to reach the cluster; default: that of the pod, then $KUBECONFIG or ~/.kube/config")
}

// source is where an agent learns what shall be warm.
type source struct {
	agent.Source
	// attend does what else the source asks for, until the context ends.
	attend func(context.Context, *agent.Agent) error
}

// view is the cluster as the node that is named sees it, or nil if none is.
func (o *clusterOptions) view(ctx context.Context, platform string) (*node.Node, error) {
	if o.node == "" {
		return nil, nil
	}
	c, _, err := kube.Config(o.kubeconfig, "pitcrew-warmer-agent/"+version)
	if err != nil {
		return nil, misuse{err}
	}
	return node.New(c, node.Options{Name: o.node, Version: version, Platform: platform, State: o.state, Log: cli.Log(ctx)})
}

// sourceOf is a cluster if there is one, and then sees to players too.
func sourceOf(n *node.Node, wants []warmer.Want, settings *agent.Options) source {
	if n == nil {
		return source{agent.Static(wants), func(context.Context, *agent.Agent) error { return nil }}
	}
	settings.Players = node.Players{Node: n}
	alone, playing := settings.Alone, settings.Playing
	attend := func(ctx context.Context, a *agent.Agent) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return n.Run(ctx) })
		group.Go(func() error { return n.Report(ctx, a.Status) })
		group.Go(func() error {
			return n.Bandwidth(ctx, func(limit int64) { a.SetPace(ctx, slower(alone, limit), slower(playing, limit)) })
		})
		return group.Wait()
	}
	return source{n, attend}
}

// slower is a pace within a limit; 0 is none.
func slower(p agent.Pace, limit int64) agent.Pace {
	if limit > 0 && (p.Bandwidth == 0 || limit < p.Bandwidth) {
		p.Bandwidth = limit
	}
	return p
}

// connect finds the cluster for a command that somebody types.
func (o *clusterOptions) connect() (*kube.Cluster, string, error) {
	c, namespace, err := kube.Config(o.kubeconfig, "pitcrew-warmer/"+version)
	if err != nil {
		return nil, "", misuse{err}
	}
	if namespace == "" {
		namespace = "default"
	}
	return c, namespace, nil
}
