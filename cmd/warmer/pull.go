package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/progress"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

// pulled is the JSON document of one image.
type pulled struct {
	Ref         string        `json:"ref"`
	Digest      warmer.Digest `json:"digest"`
	PulledBytes int64         `json:"pulledBytes"`
	ReusedBytes int64         `json:"reusedBytes"`
	Seconds     float64       `json:"seconds"`
	AlreadyWarm bool          `json:"alreadyWarm"`
	Error       string        `json:"error,omitempty"`
}

type pullOptions struct {
	*options
	layers   string
	platform string
	pin      bool
	attempts int
	work     workOptions
}

func pullCommand(o *options) *cobra.Command {
	p := pullOptions{options: o}
	c := &cobra.Command{
		Use:   "pull REF...",
		Short: "Make images warm now: fetched, unpacked, found by kubelet, and pinned",
		Args:  cobra.MinimumNArgs(1),
		RunE:  p.run,
	}
	f := c.Flags()
	f.StringVar(&p.layers, "layers", string(warmer.All), "all, or assets for the layers that the builder calls so")
	f.StringVar(&p.platform, "platform", "", "OS/ARCH; default: that of containerd")
	f.BoolVar(&p.pin, "pin", true, "keep kubelet's image garbage collection from them")
	f.IntVar(&p.attempts, "attempts", 3, "failures in a row, each after the registry client's own attempts, after which an image is given up")
	p.work.addTo(f)
	return c
}

func (p *pullOptions) run(c *cobra.Command, refs []string) error {
	wants, err := parseWants(refs, p.layers, p.platform, p.pin)
	if err != nil {
		return err
	}
	runtime, err := p.open(c.Context(), "pull")
	if err != nil {
		return failure{err}
	}
	defer runtime.Close()
	client, err := p.work.client(c.Context(), registry.Options{})
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := p.work.options(c.Context(), runtime, client)
	if err != nil {
		return err
	}
	a.Attempts = p.attempts
	bars := &bars{reporter: p.reporter, items: map[warmer.Digest]*progress.Item{}}
	a.Registry, a.Runtime = watched{a.Registry, bars}, watchedRuntime{a.Runtime, bars}
	results, err := agent.New(a).Pull(c.Context(), wants...)
	if err != nil {
		return err
	}
	return p.report(c.OutOrStdout(), results)
}

func parseWants(refs []string, layers, platform string, pin bool) ([]warmer.Want, error) {
	var wants []warmer.Want
	var faults []error
	if layers != string(warmer.All) && layers != string(warmer.Assets) {
		faults = append(faults, fmt.Errorf("--layers %q is not known: use all or assets", layers))
	}
	for _, ref := range refs {
		_, err := warmer.ParseReference(ref)
		faults = append(faults, err)
		wants = append(wants, warmer.Want{Ref: ref, Layers: warmer.Layers(layers), Platform: platform, Pin: pin})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, misuse{err}
	}
	return wants, nil
}

func (p *pullOptions) report(w io.Writer, results []agent.Result) error {
	docs := make([]pulled, len(results))
	var faults []error
	for i, r := range results {
		docs[i] = pulled{Ref: r.Ref, Digest: r.Digest, PulledBytes: r.Pulled, ReusedBytes: r.Reused, Seconds: r.Took.Seconds(), AlreadyWarm: r.AlreadyWarm}
		if r.Err != nil {
			docs[i].Error = r.Err.Error()
			faults = append(faults, r.Err)
		}
	}
	var doc any = docs
	if len(docs) == 1 {
		doc = docs[0]
	}
	err := p.print(w, doc, func(w io.Writer) error {
		for _, d := range docs {
			switch {
			case d.Error != "":
			case d.AlreadyWarm:
				fmt.Fprintf(w, "%s: was warm (%s)\n", d.Ref, d.Digest)
			default:
				fmt.Fprintf(w, "%s: warm after %.1fs: %s pulled, %s reused (%s)\n", d.Ref, d.Seconds, human(d.PulledBytes), human(d.ReusedBytes), d.Digest)
			}
		}
		return nil
	})
	if err := errors.Join(faults...); err != nil {
		return failure{err}
	}
	return err
}

// watched shows the bytes that a registry sends.
type watched struct {
	warmer.Registry
	bars *bars
}

// Blob counts a blob's bytes on its bar.
func (w watched) Blob(ctx context.Context, ref string, d warmer.Descriptor, offset int64) (io.ReadCloser, error) {
	from, err := w.Registry.Blob(ctx, ref, d, offset)
	if err != nil {
		return nil, err
	}
	return &counted{ReadCloser: from, item: w.bars.start(d, offset)}, nil
}

// watchedRuntime shows the bytes that a runtime fetches by itself.
type watchedRuntime struct {
	warmer.Runtime
	bars *bars
}

// Transfer shows what it is told of on the blobs' bars.
func (w watchedRuntime) Transfer(ctx context.Context, h warmer.Hold, i warmer.Image, a warmer.Access, told func(warmer.Digest, warmer.Blob)) error {
	layers, shown := map[warmer.Digest]warmer.Descriptor{}, map[warmer.Digest]int64{}
	for _, l := range i.Layers {
		layers[l.Digest] = l.Descriptor
	}
	return w.Runtime.Transfer(ctx, h, i, a, func(d warmer.Digest, b warmer.Blob) { //nolint:wrapcheck // passes it on
		if _, again := shown[d]; !again {
			shown[d] = b.Offset
		}
		item := w.bars.start(layers[d], shown[d])
		item.Add(b.Offset - shown[d])
		if shown[d] = b.Offset; b.Complete {
			item.Done()
		}
		told(d, b)
	})
}

// bars has one bar for each blob, however often it is begun.
type bars struct {
	reporter *progress.Reporter
	mu       sync.Mutex
	items    map[warmer.Digest]*progress.Item
}

func (b *bars) start(d warmer.Descriptor, offset int64) *progress.Item {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.items[d.Digest] == nil {
		b.items[d.Digest] = b.reporter.Start(d.Annotations["dev.pitcrew.phase"]+" "+string(d.Digest), d.Size)
		b.items[d.Digest].Add(offset)
	}
	return b.items[d.Digest]
}

type counted struct {
	io.ReadCloser
	item *progress.Item
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.item.Add(int64(n))
	if errors.Is(err, io.EOF) {
		c.item.Done()
	}
	return n, err
}
