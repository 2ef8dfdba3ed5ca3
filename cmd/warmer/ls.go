package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
)

// listed is the JSON document of one image.
type listed struct {
	Ref    string        `json:"ref"`
	Layers warmer.Layers `json:"layers"`
	Digest warmer.Digest `json:"digest,omitempty"`
	Warm   bool          `json:"warm"`
	Pinned bool          `json:"pinned"`
	Owner  string        `json:"owner"`
	// Phases are the bytes of each phase, Bytes those of all, SharedBytes those of them that other images here have too.
	Phases      map[string]int64 `json:"phases,omitempty"`
	Bytes       int64            `json:"bytes"`
	SharedBytes int64            `json:"sharedBytes"`
	image       warmer.Image
	want        warmer.Want
}

func lsCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "What is kept warm here, by phase, and what images share",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			runtime, err := o.open(c.Context(), "pull")
			if err != nil {
				return failure{err}
			}
			defer runtime.Close()
			kept, err := runtime.List(c.Context())
			if err != nil {
				return err
			}
			out := make([]listed, 0, len(kept))
			for _, k := range kept {
				image, seen, err := agent.Local(c.Context(), runtime, cmp.Or(k.Platform, runtime.Platform()), k.Want)
				if err != nil && !errors.Is(err, warmer.ErrNotFound) {
					return err
				}
				out = append(out, listed{
					Ref: k.Ref, Layers: k.Layers, Digest: image.Target.Digest, Warm: err == nil && agent.Complete(k.Want, image, seen),
					Pinned: k.Pin, Owner: k.Owner, image: image, want: k.Want,
				})
			}
			share(out)
			return o.print(c.OutOrStdout(), out, func(w io.Writer) error { return table(w, out) })
		},
	}
}

// share counts each image's bytes, and those that others have too.
func share(images []listed) {
	users := map[warmer.Digest]int{}
	for i := range images {
		for d := range blobs(&images[i]) {
			users[d]++
		}
	}
	for i := range images {
		images[i].Phases = map[string]int64{}
		for d, l := range blobs(&images[i]) {
			images[i].Phases[l.Phase] += l.Size
			images[i].Bytes += l.Size
			if users[d] > 1 {
				images[i].SharedBytes += l.Size
			}
		}
	}
	slices.SortFunc(images, func(a, b listed) int { return cmp.Or(cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Layers, b.Layers)) })
}

func blobs(i *listed) map[warmer.Digest]warmer.Layer {
	out := map[warmer.Digest]warmer.Layer{}
	for _, l := range i.want.Layers.Select(i.image.Layers) {
		out[l.Digest] = l
	}
	return out
}

func table(w io.Writer, images []listed) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "IMAGE\tLAYERS\tWARM\tPINNED\tASSETS\tBASE\tCODE\tSERVER\tOTHER\tSHARED\tOWNER")
	for _, i := range images {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s", i.Ref, i.Layers, yes(i.Warm), yes(i.Pinned))
		for _, p := range warmer.Phases {
			fmt.Fprintf(t, "\t%s", human(i.Phases[p]))
		}
		fmt.Fprintf(t, "\t%s\t%s\n", human(i.SharedBytes), i.Owner)
	}
	return t.Flush()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
