package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/containerd"
	"github.com/pitcrew-dev/pitcrew/warmer/cri"
)

// verified is the JSON document of one image.
type verified struct {
	Ref    string        `json:"ref"`
	Digest warmer.Digest `json:"digest,omitempty"`
	Warm   bool          `json:"warm"`
	// Found says that kubelet finds it, Pinned that kubelet's image garbage collection will leave it.
	Found   bool   `json:"found"`
	Pinned  bool   `json:"pinned"`
	ImageID string `json:"imageId,omitempty"`
	// Missing are layers, "blob DIGEST" or "snapshot CHAIN".
	Missing []string `json:"missing,omitempty"`
	// NewBytes is what a pull by CRI added to the content store, if it was asked for.
	NewBytes *int64 `json:"newBytes,omitempty"`
	Error    string `json:"error,omitempty"`
}

func verifyCommand(o *options) *cobra.Command {
	var pull bool
	var platform string
	c := &cobra.Command{
		Use:   "verify REF...",
		Short: "Ask what kubelet would ask: is the image there, complete and pinned",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, refs []string) error {
			wants, err := parseWants(refs, string(warmer.All), platform, false)
			if err != nil {
				return err
			}
			return o.verify(c, wants, pull)
		},
	}
	c.Flags().BoolVar(&pull, "pull", false, "also have CRI pull the image, as kubelet does for a pod whose policy is Always: nothing may come")
	c.Flags().StringVar(&platform, "platform", "", "OS/ARCH; default: that of containerd")
	return c
}

func (o *options) verify(c *cobra.Command, wants []warmer.Want, pull bool) error {
	runtime, err := o.open(c.Context(), "pull")
	if err != nil {
		return failure{err}
	}
	defer runtime.Close()
	client, err := cri.Dial(o.socket)
	if err != nil {
		return err
	}
	defer client.Close()
	docs := make([]verified, len(wants))
	cold := false
	for i, w := range warmer.Normalize(wants) {
		docs[i] = verify(c.Context(), runtime, client, w, pull)
		cold = cold || !docs[i].Warm
	}
	var doc any = docs
	if len(docs) == 1 {
		doc = docs[0]
	}
	if err := o.print(c.OutOrStdout(), doc, func(w io.Writer) error { return say(w, docs) }); err != nil {
		return err
	}
	if cold {
		return cli.Exit(1)
	}
	return nil
}

func verify(ctx context.Context, runtime *containerd.Runtime, client *cri.Client, w warmer.Want, pull bool) verified {
	out := verified{Ref: w.Ref}
	image, seen, err := agent.Local(ctx, runtime, cmp.Or(w.Platform, runtime.Platform()), w)
	if err != nil && !errors.Is(err, warmer.ErrNotFound) {
		out.Error = err.Error()
		return out
	}
	out.Digest = image.Target.Digest
	for _, l := range image.Layers {
		if !seen.Blobs[l.Digest].Complete {
			out.Missing = append(out.Missing, "blob "+string(l.Digest))
		}
		if !seen.Snapshots[l.ChainID] {
			out.Missing = append(out.Missing, "snapshot "+string(l.ChainID))
		}
	}
	complete := seen.Documents && len(out.Missing) == 0
	known, err := found(ctx, client, w.Ref, complete)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	if known != nil {
		out.Found, out.Pinned, out.ImageID = true, known.Pinned, known.ID
	}
	out.Warm = out.Found && complete && out.ImageID == string(image.Config.Digest)
	if pull && out.Warm {
		out.pull(ctx, runtime, client)
	}
	return out
}

// hearsay is how long CRI may take to find an image that is complete: it learns of image records by events.
const hearsay = 2 * time.Second

func found(ctx context.Context, client *cri.Client, ref string, complete bool) (*cri.Image, error) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(hearsay); ; {
		known, err := client.Image(ctx, ref)
		if known != nil || err != nil || !complete || time.Now().After(end) {
			return known, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pull has CRI pull the image and looks at what that brought.
func (v *verified) pull(ctx context.Context, runtime *containerd.Runtime, client *cri.Client) {
	before, err := runtime.Stored(ctx)
	if err == nil {
		err = client.Pull(ctx, v.Ref)
	}
	var after int64
	if err == nil {
		after, err = runtime.Stored(ctx)
	}
	if err != nil {
		v.Error, v.Warm = err.Error(), false
		return
	}
	came := after - before
	v.NewBytes, v.Warm = &came, came == 0
}

func say(w io.Writer, docs []verified) error {
	for _, d := range docs {
		switch {
		case d.Error != "":
			fmt.Fprintf(w, "%s: %s\n", d.Ref, d.Error)
		case d.Warm && d.Pinned:
			fmt.Fprintf(w, "%s: warm and pinned (%s)\n", d.Ref, d.Digest)
		case d.Warm:
			fmt.Fprintf(w, "%s: warm, but not pinned (%s)\n", d.Ref, d.Digest)
		case !d.Found:
			fmt.Fprintf(w, "%s: kubelet does not find it\n", d.Ref)
		default:
			fmt.Fprintf(w, "%s: not warm: %d parts are missing\n", d.Ref, len(d.Missing))
		}
	}
	return nil
}
