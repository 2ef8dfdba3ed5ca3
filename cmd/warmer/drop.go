package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/containerd"
)

// dropped is the JSON document of one image.
type dropped struct {
	Ref     string `json:"ref"`
	Dropped bool   `json:"dropped"`
}

type dropOptions struct {
	*options
	layers, platform string
	force            bool
}

func dropCommand(o *options) *cobra.Command {
	d := dropOptions{options: o}
	c := &cobra.Command{
		Use:   "drop REF...",
		Short: "Let go of images that pull or an agent made warm, and of what only they needed",
		Args:  cobra.MinimumNArgs(1),
		RunE:  d.run,
	}
	f := c.Flags()
	f.StringVar(&d.layers, "layers", string(warmer.All), "all, or assets for what was pulled with --layers assets")
	f.StringVar(&d.platform, "platform", "", "OS/ARCH, if it was pulled with one")
	f.BoolVar(&d.force, "force", false, "also images that a container uses; it keeps running")
	return c
}

func (d *dropOptions) run(c *cobra.Command, refs []string) error {
	wants, err := parseWants(refs, d.layers, d.platform, false)
	if err != nil {
		return err
	}
	var docs []dropped
	for _, w := range warmer.Normalize(wants) {
		doc := dropped{Ref: w.Ref}
		for _, owner := range []string{"pull", "agent"} {
			runtime, err := d.open(c.Context(), owner)
			if err != nil {
				return failure{err}
			}
			done, err := d.drop(c, runtime, w.Key())
			_ = runtime.Close() // its work is done
			if err != nil {
				return err
			}
			doc.Dropped = doc.Dropped || done
		}
		docs = append(docs, doc)
	}
	var doc any = docs
	if len(docs) == 1 {
		doc = docs[0]
	}
	return d.print(c.OutOrStdout(), doc, func(w io.Writer) error {
		for _, x := range docs {
			how := "dropped"
			if !x.Dropped {
				how = "was not kept"
			}
			fmt.Fprintf(w, "%s: %s\n", x.Ref, how)
		}
		return nil
	})
}

func (d *dropOptions) drop(c *cobra.Command, runtime *containerd.Runtime, key string) (bool, error) {
	held, err := runtime.Held(c.Context())
	if err != nil {
		return false, err
	}
	for _, h := range held {
		if h.Key != key {
			continue
		}
		if h.InUse && !d.force {
			return false, fmt.Errorf("drop %s: a container uses it: stop it, or say --force", key)
		}
		return true, runtime.Evict(c.Context(), key)
	}
	return false, nil
}
