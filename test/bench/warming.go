package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// puller is a client with an image, under a name for the tables.
type puller struct {
	name string
	pull client
	of   string // a version's reference by name
}

// The images that are pulled, each as version 1 and 2.
const (
	ourImage    = "ours"
	plainImage  = "plain"
	sampleImage = "sample"
)

// Who is compared.
const (
	warmerOurs   = "pitcrew warmer, our image"
	warmerAlone  = "the same, fetched by itself"
	warmerSample = "pitcrew warmer, AWS sample's pattern"
	ctrOurs      = "ctr, our image"
	ctrPlain     = "ctr, one gzip layer for all assets"
	ctrSample    = "ctr, AWS sample's pattern"
)

var pullers = []puller{
	{warmerOurs, warmer, ourImage},
	{warmerAlone, alone, ourImage},
	{ctrOurs, ctr, ourImage},
	{ctrPlain, ctr, plainImage},
	{ctrSample, ctr, sampleImage},
	{warmerSample, warmer, sampleImage},
}

// warmings are all figures of a run.
type warmings struct {
	rounds         int
	cold, upgrade  map[string][]figures // by puller
	byTag, byName  []float64            // seconds of a pull of what is warm
	agent, bigger  resident
	beside         []beside
	limit, limitMB float64
}

// images are references by image and version.
type images map[string][2]string

// warming measures bin/warmer against ctr on one containerd.
func warming(ctx context.Context, rounds int) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	in, err := prepare(ctx, root)
	if err != nil {
		return err
	}
	reg, err := startRegistry(ctx, in.work)
	if err != nil {
		return err
	}
	defer reg.stop()
	g, err := newGame(ctx, in, reg)
	if err != nil {
		return err
	}
	refs, err := g.versions(ctx)
	if err != nil {
		return err
	}
	n, err := startNode(ctx, in, reg)
	if err != nil {
		return err
	}
	defer n.stop()
	w := warmings{rounds: rounds, cold: map[string][]figures{}, upgrade: map[string][]figures{}}
	if err := w.measure(ctx, n, g, refs); err != nil {
		return err
	}
	bars := w.bars()
	if err := w.report(in, bars); err != nil {
		return err
	}
	return failed(bars)
}

// versions builds both versions of every image.
func (g *game) versions(ctx context.Context) (images, error) {
	out := images{}
	if err := g.sample.start(ctx, g.reg); err != nil {
		return nil, err
	}
	defer g.sample.stop()
	for v := range 2 {
		if v > 0 {
			if err := g.change(); err != nil {
				return nil, err
			}
			time.Sleep(3 * time.Second) // see prepare
		}
		for name, build := range map[string]func() (string, error){
			ourImage:    func() (string, error) { return g.build(ctx, ours, fmt.Sprint(v+1)) },
			plainImage:  func() (string, error) { return g.build(ctx, plain, fmt.Sprint(v+1)) },
			sampleImage: func() (string, error) { return g.buildSample(ctx) },
		} {
			began := time.Now()
			ref, err := build()
			if err != nil {
				return nil, fmt.Errorf("version %d of %s: %w", v+1, name, err)
			}
			fmt.Fprintf(os.Stderr, "built version %d of %s in %.1f s\n", v+1, name, time.Since(began).Seconds())
			both := out[name]
			both[v] = ref
			out[name] = both
		}
	}
	return out, nil
}

func (w *warmings) measure(ctx context.Context, n *node, g *game, refs images) (err error) {
	if _, err := n.pull(ctx, ctr, n.direct(refs[ourImage][0])); err != nil { // a new containerd's first pull is slower
		return err
	}
	for i := range w.rounds {
		for j := range pullers {
			p := pullers[(i+j)%len(pullers)] // another one begins each round
			if err := w.round(ctx, n, p, refs[p.of]); err != nil {
				return fmt.Errorf("round %d: %s: %w", i+1, p.name, err)
			}
		}
		files, err := g.stored("warm/" + ourImage)
		if err != nil {
			return err
		}
		seconds, mb, err := limit(ctx, files, filepath.Join(n.dir, "limit"))
		if err != nil {
			return err
		}
		if w.limit == 0 || seconds < w.limit {
			w.limit, w.limitMB = seconds, mb
		}
	}
	if err := w.stay(ctx, n, refs); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "beside a match")
	w.beside, err = n.neighbours(ctx, n.direct(refs[ourImage][0]))
	return err
}

// round is a cold pull of version 1 and a pull of version 2 on top.
func (w *warmings) round(ctx context.Context, n *node, p puller, of [2]string) error {
	if err := n.clear(ctx); err != nil {
		return err
	}
	f, err := n.pull(ctx, p.pull, n.direct(of[0]))
	if err != nil {
		return err
	}
	w.cold[p.name] = append(w.cold[p.name], f)
	again, err := n.pull(ctx, p.pull, of[1])
	if err != nil {
		return err
	}
	w.upgrade[p.name] = append(w.upgrade[p.name], again)
	fmt.Fprintf(os.Stderr, "  %-36s cold %6.2f s  CPU %6.2f s  peak %4.0f MB   upgrade %6.2f s  %8.2f MB\n", p.name, f.Wall, f.CPU, f.RSS, again.Wall, again.Pushed)
	return nil
}

// idleTime is how long an agent is watched that has nothing to do.
const idleTime = time.Minute

// stay measures what is pulled when it is warm, and the agent.
func (w *warmings) stay(ctx context.Context, n *node, refs images) (err error) {
	fmt.Fprintln(os.Stderr, "the agent")
	if err := n.clear(ctx); err != nil {
		return err
	}
	if w.agent, err = n.agent(ctx, n.direct(refs[ourImage][0]), idleTime); err != nil {
		return err
	}
	for range w.rounds {
		f, err := n.pull(ctx, warmer, n.direct(refs[ourImage][0]))
		if err != nil {
			return err
		}
		w.byName = append(w.byName, f.Wall)
	}
	tag := n.reg.backend + "/warm/" + ourImage + ":2"
	for range w.rounds + 1 {
		f, err := n.pull(ctx, warmer, tag)
		if err != nil {
			return err
		}
		w.byTag = append(w.byTag, f.Wall)
	}
	w.byTag = w.byTag[1:] // the first one pulled it
	if err := n.clear(ctx); err != nil {
		return err
	}
	w.bigger, err = n.agent(ctx, n.direct(refs[sampleImage][0]), 0)
	return err
}
