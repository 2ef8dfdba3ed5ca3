package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/kube"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/gate"
)

type gateOptions struct {
	*options
	cluster   clusterOptions
	namespace string
	timeout   time.Duration
	rollout   bool
	following time.Duration
	gate      gate.Gate
}

// passed is the JSON document.
type passed struct {
	gate.Progress
	Rollout *gate.Rollout `json:"rollout,omitempty"`
}

func gateCommand(o *options) *cobra.Command {
	g := gateOptions{options: o}
	c := &cobra.Command{
		Use:   "gate fleet/NAME|warmset/NAME",
		Short: "Wait until the images of a Fleet or a WarmSet are warm",
		Long: `Wait until the images of a Fleet or a WarmSet are warm: what a pipeline calls before it changes the Fleet.

With --rollout it changes the Fleet too: announces --image, waits until it is warm, has the Fleet's container run it, and
waits until the new servers are up and no old ones are left but those with players. Changes of others to the Fleet stay.

Exit codes: 0 warm, and with --rollout rolled out; 1 not within the time, or the cluster did not answer; 2 a wrong command
line, there is no such Fleet or WarmSet, or it is not clear which container --image is for.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return g.run(c.Context(), args[0], c.OutOrStdout()) },
	}
	f := c.Flags()
	g.cluster.addTo(f)
	f.StringVarP(&g.namespace, "fleet-namespace", "n", "", "the Fleet's namespace; default: that of the kubeconfig")
	f.StringVar(&g.gate.Image, "image", "", "the image that has to be warm; default: all that the Fleet has and announces")
	f.BoolVar(&g.gate.Announce, "announce", false, "announce --image in the Fleet's annotation first, so that it is made warm")
	f.BoolVar(&g.rollout, "rollout", false, "then have the Fleet run --image, and wait for its servers; announces it first, too")
	f.StringVar(&g.gate.Container, "container", "", "the container that --rollout changes; default: the one whose image is of the same repository")
	f.DurationVar(&g.following, "rollout-timeout", 10*time.Minute, "how long to wait for the Fleet's servers after --timeout's part")
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
	if (o.gate.Announce || o.rollout) && (o.gate.Image == "" || !o.gate.Fleet) {
		return misuse{errors.New("--announce and --rollout need a Fleet and --image REF")}
	}
	o.gate.Announce = o.gate.Announce || o.rollout
	if _, err := warmer.ParseReference(o.gate.Image); o.gate.Image != "" && err != nil {
		return misuse{err}
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
	doc, err := o.pass(ctx)
	switch {
	case errors.Is(err, gate.ErrNoTarget), errors.Is(err, gate.ErrContainer):
		return misuse{err}
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	}
	return o.print(stdout, doc, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: warm on %d of %d nodes\n", target, doc.Warm, doc.Desired)
		if r := doc.Rollout; r != nil && err == nil {
			_, err = fmt.Fprintf(w, "%s: rolled out: %s\n", target, r.Message)
		}
		return err
	})
}

// pass waits, and rolls out if that is asked for.
func (o *gateOptions) pass(ctx context.Context) (passed, error) {
	var doc passed
	o.gate.Progress = func(p gate.Progress) {
		doc.Progress = p
		cli.Log(ctx).Info("waiting", "warm", p.Warm, "desired", p.Desired, "failed", p.Failed, "remaining", human(p.BytesRemaining), "eta", eta(p.ETASeconds), "message", p.Message)
	}
	waiting, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if o.rollout { // before an hour was waited for nothing
		if _, err := o.gate.Target(waiting); err != nil {
			return doc, err
		}
	}
	if err := o.gate.Wait(waiting); err != nil || !o.rollout {
		return doc, err
	}
	following, cancel := context.WithTimeout(ctx, o.following)
	defer cancel()
	return doc, o.gate.Roll(following, func(r gate.Rollout) {
		doc.Rollout = &r
		cli.Log(ctx).Info("rolling out", "container", r.Container, "up", r.Up, "servers", r.Servers, "old", r.Old, "spared", r.Spared, "message", r.Message)
	})
}

// eta is for people; unknown is a dash.
func eta(seconds int64) string {
	if seconds <= 0 {
		return "-"
	}
	return (time.Duration(seconds) * time.Second).String()
}
