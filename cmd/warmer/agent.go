package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/ops"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

type agentOptions struct {
	*options
	cluster  clusterOptions
	work     workOptions
	images   []string
	assets   []string
	platform string
	listen   string
	playing  agent.Pace
	slow     size
	refresh  time.Duration
	grace    time.Duration
	observe  time.Duration
}

func agentCommand(o *options) *cobra.Command {
	a := agentOptions{options: o}
	c := &cobra.Command{
		Use:   "agent",
		Short: "Keep images warm on this node, and serve metrics about it",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.run(c.Context()) },
	}
	f := c.Flags()
	f.StringArrayVar(&a.images, "image", nil, "an image to keep warm; may be repeated, the most important one first")
	f.StringArrayVar(&a.assets, "assets-of", nil, "an image to keep the asset layers of; may be repeated, after --image in importance")
	f.StringVar(&a.cluster.node, "node", "", "the name of this Node in a cluster, whose WarmSets say what shall be warm; default: --image and --assets-of do")
	a.cluster.addTo(f)
	f.StringVar(&a.cluster.state, "state", "", "a file in which the agent remembers what the cluster wants, to go on with it if it starts while the API server is away; default: nowhere")
	f.StringVar(&a.platform, "platform", "", "OS/ARCH; default: that of containerd")
	f.StringVar(&a.listen, "listen", ":9095", "where metrics, probes and status are served")
	a.slow = 10 << 20
	f.Var(&a.slow, "bandwidth-while-playing", "the same as --bandwidth while players are on the node")
	f.IntVar(&a.playing.Fetches, "fetches-while-playing", 1, "the same as --fetches while players are on the node")
	f.IntVar(&a.playing.Unpacks, "unpacks-while-playing", 1, "the same as --unpacks while players are on the node")
	f.DurationVar(&a.refresh, "refresh", 5*time.Minute, "after how long a tag is looked up again; 0: never")
	f.DurationVar(&a.grace, "grace", time.Hour, "how long an image stays that is not wanted any more, unless its room is needed")
	f.DurationVar(&a.observe, "observe", time.Minute, "how often the node is looked at although nothing happened")
	a.work.addTo(f)
	return c
}

// wants are the images in the order of their importance.
func (o *agentOptions) wants() ([]warmer.Want, error) {
	all, err := parseWants(o.images, string(warmer.All), o.platform, true)
	if err != nil {
		return nil, err
	}
	assets, err := parseWants(o.assets, string(warmer.Assets), o.platform, false)
	if err != nil {
		return nil, err
	}
	all = append(all, assets...)
	switch {
	case o.cluster.node != "" && len(all) > 0:
		return nil, misuse{errors.New("--node leaves it to the cluster what shall be warm: leave out --image and --assets-of")}
	case len(all) == 0 && o.cluster.node == "":
		return nil, misuse{errors.New("name what shall be warm: --image REF or --assets-of REF; or in a cluster --node NAME")}
	}
	for i := range all {
		all[i].Priority = len(all) - i
	}
	return all, nil
}

func (o *agentOptions) run(ctx context.Context) error {
	wants, err := o.wants()
	if err != nil {
		return err
	}
	runtime, err := o.open(ctx, "agent")
	if err != nil {
		return failure{err}
	}
	defer runtime.Close()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	gathered := prometheus.NewRegistry()
	gathered.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := ops.NewMetrics(gathered)
	platform := cmp.Or(o.platform, runtime.Platform())
	cluster, err := o.cluster.view(ctx, platform)
	if err != nil {
		_ = listener.Close() // the view's error counts
		return err
	}
	reading := registry.Options{Retried: metrics.Retried, Throttled: metrics.Throttled}
	if cluster != nil {
		reading.Credentials.PullSecrets = cluster.PullSecrets
	}
	client, err := o.work.client(ctx, reading)
	if err != nil {
		_ = listener.Close() // the client's error counts
		return err
	}
	defer client.Close()
	settings, err := o.work.options(ctx, runtime, client)
	if err != nil {
		_ = listener.Close() // the options' error counts
		return err
	}
	settings.Platform, settings.Observer = platform, metrics
	settings.Refresh, settings.Grace, settings.Observe = o.refresh, o.grace, o.observe
	settings.Playing = o.playing
	settings.Playing.Bandwidth = int64(o.slow)
	source := sourceOf(cluster, wants, &settings)
	a := agent.New(settings)
	ops.NewState(gathered, a)
	cli.Log(ctx).Info("agent started", "version", version, "listen", listener.Addr().String(), "images", len(wants), "snapshotter", runtime.Snapshotter())
	return serve(ctx, a, source, &http.Server{Handler: ops.Handler(a, gathered, 5*o.observe+time.Minute), ReadHeaderTimeout: 5 * time.Second}, listener)
}

// serve runs the agent and its server until the context ends.
func serve(ctx context.Context, a *agent.Agent, s source, server *http.Server, l net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.Run(ctx, s) })
	group.Go(func() error { return s.attend(ctx, a) })
	group.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return group.Wait()
}
