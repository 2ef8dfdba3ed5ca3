package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/warmer/kube"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/gate"
)

type gateOptions struct {
	*options
	cluster   clusterOptions
	namespace string
	timeout   time.Duration
	gate      gate.Gate
}

func gateCommand(o *options) *cobra.Command {
	g := gateOptions{options: o}
	c := &cobra.Command{
		Use:   "gate fleet/NAME|warmset/NAME",
		Short: "Wait until the images of a Fleet or a WarmSet are warm",
		Long: `Wait until the images of a Fleet or a WarmSet are warm: what a pipeline calls before it changes the Fleet.

Exit codes: 0 warm; 1 not warm within the time, or the cluster did not answer; 2 a wrong command line, or there is no such
Fleet or WarmSet.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return g.run(c.Context(), args[0], c.OutOrStdout()) },
	}
	f := c.Flags()
	g.cluster.addTo(f)
	f.StringVarP(&g.namespace, "fleet-namespace", "n", "", "the Fleet's namespace; default: that of the kubeconfig")
	f.StringVar(&g.gate.Image, "image", "", "the image that has to be warm; default: all that the Fleet has and announces")
	f.BoolVar(&g.gate.Announce, "announce", false, "announce --image in the Fleet's annotation first, so that it is made warm")
	f.IntVar(&g.gate.Percent, "percent", 100, "how many of the nodes have to be warm")
	f.BoolVar(&g.gate.Empty, "allow-no-nodes", false, "pass if no node matches, as where nodes are added when they are needed")
	f.DurationVar(&g.timeout, "timeout", 10*time.Minute, "how long to wait")
	f.DurationVar(&g.gate.Every, "every", time.Second, "how often to look")
	return c
}

func (o *gateOptions) run(ctx context.Context, target string, stdout io.Writer) error {
	var err error
	if o.gate.Fleet, o.gate.Name, err = gate.ParseTarget(target); err != nil {
		return misuse{err}
	}
	if o.gate.Percent < 1 || o.gate.Percent > 100 {
		return misuse{fmt.Errorf("--percent %d: want 1 to 100", o.gate.Percent)}
	}
	if o.gate.Announce && (o.gate.Image == "" || !o.gate.Fleet) {
		return misuse{errors.New("--announce needs a Fleet and --image REF")}
	}
	config, namespace, err := o.cluster.connect()
	if err != nil {
		return err
	}
	if o.gate.Namespace = o.namespace; o.gate.Namespace == "" {
		o.gate.Namespace = namespace
	}
	o.gate.Every = max(o.gate.Every, 10*time.Millisecond)
	if o.gate.Client, err = kube.Client(config); err != nil {
		return err
	}
	var last gate.Progress
	o.gate.Progress = func(p gate.Progress) {
		last = p
		cli.Log(ctx).Info("waiting", "warm", p.Warm, "desired", p.Desired, "failed", p.Failed, "remaining", human(p.BytesRemaining), "message", p.Message)
	}
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	err = o.gate.Wait(waiting)
	switch {
	case errors.Is(err, gate.ErrNoTarget):
		return misuse{err}
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	}
	return o.print(stdout, last, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: warm on %d of %d nodes\n", target, last.Warm, last.Desired)
		return err
	})
}
