package main

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// The scenarios, in the order in which each contender meets them.
const (
	first  = "first build"
	warm   = "no change, same machine"
	edited = "one texture changed"
	fresh  = "no change, fresh machine"
)

var scenarios = []string{first, warm, edited, fresh}

// key is one row of the results.
type key struct{ contender, codec, scenario string }

// results holds every run's figures.
type results map[key][]figures

func (r *results) measure(ctx context.Context, in *inputs, c contender, codec string) error {
	if *r == nil {
		*r = results{}
	}
	reg, err := startRegistry(ctx, in.work)
	if err != nil {
		return err
	}
	defer reg.stop()
	defer c.stop()
	if err := c.start(ctx, reg); err != nil {
		return err
	}
	for _, scenario := range scenarios {
		switch scenario {
		case edited:
			edits++
			if err := in.edit(edits); err != nil {
				return err
			}
		case fresh:
			if err := c.forget(ctx); err != nil {
				return fmt.Errorf("%s: %w", scenario, err)
			}
		}
		f, err := c.build(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", scenario, err)
		}
		fmt.Fprintf(os.Stderr, "  %-34s %-5s %-26s wall %6.2f s  CPU %6.2f s  peak %4.0f MB  pushed %7.1f MB  %4.0f requests\n",
			c.name(), codec, scenario, f.Wall, f.CPU, f.RSS, f.Pushed, f.Requests)
		k := key{c.name(), codec, scenario}
		(*r)[k] = append((*r)[k], f)
	}
	return nil
}

// edits counts the edits of the whole run: no two give the texture the same bytes.
var edits int

// median is taken for each figure by itself.
func (r results) median(contender, codec, scenario string) figures {
	all := r[key{contender, codec, scenario}]
	pick := func(of func(figures) float64) float64 {
		var v []float64
		for _, f := range all {
			v = append(v, of(f))
		}
		slices.Sort(v)
		if len(v) == 0 {
			return 0
		}
		return v[len(v)/2]
	}
	return figures{
		Wall: pick(func(f figures) float64 { return f.Wall }), CPU: pick(func(f figures) float64 { return f.CPU }),
		RSS: pick(func(f figures) float64 { return f.RSS }), Pushed: pick(func(f figures) float64 { return f.Pushed }),
		Requests: pick(func(f figures) float64 { return f.Requests }),
	}
}

// bar is a promise with what was measured.
type bar struct {
	what      string
	got, most float64
	unit      string
}

func (b bar) kept() bool { return b.got > 0 && b.got <= b.most }

func (r results) bars() []bar {
	const ours, theirs = "pitcrew builder", "BuildKit"
	var out []bar
	for _, codec := range []string{"none", "zstd"} {
		a, b := r.median(ours, codec, first), r.median(theirs, codec, first)
		ea, eb := r.median(ours, codec, edited), r.median(theirs, codec, edited)
		memory := map[string]float64{"none": 64, "zstd": 200}[codec]
		out = append(out,
			bar{"first build, " + codec + ": CPU over BuildKit's", a.CPU / b.CPU, 1.0 / 3, ""},
			bar{"first build, " + codec + ": wall time over BuildKit's", a.Wall / b.Wall, 0.6, ""},
			bar{"first build, " + codec + ": peak memory", a.RSS, memory, " MB"},
			bar{"no change, same machine, " + codec + ": wall time", r.median(ours, codec, warm).Wall, 0.1, " s"},
			bar{"no change, fresh machine, " + codec + ": wall time", r.median(ours, codec, fresh).Wall, 0.5, " s"},
			bar{"one texture changed, " + codec + ": CPU over BuildKit's", ea.CPU / eb.CPU, 0.2, ""},
		)
	}
	return out
}

func failed(bars []bar) error {
	var missed []string
	for _, b := range bars {
		if !b.kept() {
			missed = append(missed, fmt.Sprintf("%s: %.3g%s, at most %.3g%s", b.what, b.got, b.unit, b.most, b.unit))
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("%d of %d bars missed: %v", len(missed), len(bars), missed)
	}
	return nil
}
