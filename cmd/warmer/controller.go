package main

import (
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/warmer/kube"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/controller"
)

// controllerMemory keeps the garbage collector ahead of the 256 MB that a controller may take.
const controllerMemory = 200 << 20

func controllerCommand() *cobra.Command {
	var o controller.Options
	var cluster clusterOptions
	c := &cobra.Command{
		Use:   "controller",
		Short: "Make WarmSets of Agones' Fleets, and sum up how warm the nodes are",
		Long: `Make WarmSets of Agones' Fleets, and sum up how warm the nodes are.

Of several controllers with the same --lease-namespace one works. It ends, with exit code 1, when it cannot keep its lease.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if os.Getenv("GOMEMLIMIT") == "" {
				debug.SetMemoryLimit(controllerMemory)
			}
			config, _, err := kube.Config(cluster.kubeconfig, "pitcrew-warmer-controller/"+version)
			if err != nil {
				return misuse{err}
			}
			config.QPS = -1 // the server knows best
			o.Log = cli.Log(c.Context())
			o.Log.Info("controller started", "version", version)
			return controller.Run(c.Context(), config, o)
		},
	}
	f := c.Flags()
	cluster.addTo(f)
	f.StringArrayVar(&o.Namespaces, "fleets-in", nil, "a namespace whose Fleets are warmed; may be repeated; default: all")
	f.StringVar(&o.LeaseNamespace, "lease-namespace", "", "where controllers agree on which of them works; default: this is the only one")
	f.DurationVar(&o.Lease, "lease", 15*time.Second, "for how long a controller that vanished keeps its place")
	f.DurationVar(&o.Discover, "discover", 15*time.Second, "how often Agones is looked for until it is installed")
	f.StringVar(&o.Metrics, "listen", ":9095", "where metrics are served")
	f.StringVar(&o.Probes, "probes", ":9097", "where /healthz and /readyz are served")
	return c
}
