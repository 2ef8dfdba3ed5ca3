package build

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
)

// transfers sums up how blobs came to be where they are.
type transfers struct {
	mu                      sync.Mutex
	pushed, mounted, reused int64
}

func (t *transfers) add(p builder.Put) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch p.Transfer {
	case builder.Pushed:
		t.pushed += p.Descriptor.Size
	case builder.Mounted:
		t.mounted += p.Descriptor.Size
	case builder.Reused:
		t.reused += p.Descriptor.Size
	}
}

// pushLayers makes and sends every distinct layer once, over all phases and platforms, largest first.
func (r *run) pushLayers(ctx context.Context) error {
	type job struct {
		layer *layer.Layer
		repo  string
	}
	var jobs []job
	seen := map[job]bool{}
	for _, u := range r.units {
		for _, l := range u.layers {
			if _, ok := l.Descriptor(); !ok {
				u.made = true
			}
			if j := (job{l, u.phase.Repository}); !seen[j] {
				seen[j] = true
				jobs = append(jobs, j)
			}
		}
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return bySize(a.layer, b.layer) })
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, r.Jobs))
	for _, j := range jobs {
		g.Go(func() error { return r.pushLayer(ctx, j.layer, j.repo) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.remember()
}

// markPresent spares the requests for layers that the image which the tag names now references: its registry keeps them.
func (r *run) markPresent() error {
	if r.known.previous == nil {
		return nil
	}
	repo, err := r.Open(r.req.Repository)
	if err == nil && r.req.From != nil && r.req.From.Name != repo.Name() {
		return nil // another repository's image says nothing about this one
	}
	if err != nil {
		return err
	}
	if m, ok := repo.(interface{ MarkPresent(v1.Descriptor) }); ok {
		for _, p := range r.known.previous.Platforms {
			for _, l := range p.Layers {
				m.MarkPresent(l.Descriptor)
			}
		}
	}
	return nil
}

func (r *run) pushLayer(ctx context.Context, l *layer.Layer, repoName string) error {
	repo, err := r.Open(repoName)
	if err != nil {
		return err
	}
	blob, from := r.watch(l), []string(nil)
	if d, known := l.Descriptor(); known && r.elsewhere(d) {
		blob, from = builder.Copied{From: r.req.From.Repository, Desc: bare(d)}, []string{r.req.From.Name}
	}
	put, err := repo.PutBlob(ctx, blob, from...)
	if err != nil {
		return err
	}
	r.sums.add(put)
	r.Log.Debug("layer", "repository", repoName, "digest", put.Descriptor.Digest.String(), "bytes", put.Descriptor.Size, "transfer", put.Transfer.String())
	return nil
}

// watch reports how the packing of a layer goes on, if somebody wants to know.
func (r *run) watch(l *layer.Layer) builder.Blob {
	if r.Progress == nil {
		return l
	}
	return &watched{Blob: l, start: r.Progress, name: l.Name()}
}

// remember stores what was learnt about layers on this machine, for the next build.
func (r *run) remember() error {
	for _, u := range r.units {
		for i, l := range u.layers {
			cl, err := u.composed(i)
			if err != nil {
				return err
			}
			key, err := l.Key()
			if err != nil {
				return err
			}
			r.Layers.Put(key, memo.KnownLayer{Descriptor: bare(cl.Descriptor), DiffID: cl.DiffID})
		}
	}
	return nil
}

// pushPhases publishes each phase's own image under its input digest, and returns their references.
func (r *run) pushPhases(ctx context.Context) ([]string, error) {
	var refs []string
	for _, phase := range phasesOf(r.units) {
		var platforms []compose.Platform
		var repoName string
		for _, u := range r.units {
			if u.phase.Name != phase {
				continue
			}
			repoName = u.phase.Repository
			part, err := u.part()
			if err != nil {
				return nil, err
			}
			for _, p := range u.platforms {
				platforms = append(platforms, compose.Platform{Platform: p, Parts: []compose.Part{part}})
			}
		}
		index, err := compose.Build(platforms, r.req.Image)
		if err != nil {
			return nil, err
		}
		repo, err := r.Open(repoName)
		if err != nil {
			return nil, err
		}
		tags := append(phaseTags(phase, inputsOf(r.units, phase)), r.sourcesTags(phase)...)
		if err := r.publish(ctx, repo, index, tags, r.attachPaths(phase), r.attachPhase(phase, index)); err != nil {
			return nil, fmt.Errorf("publish %s:%s: %w", repo.Name(), tags[0], err)
		}
		refs = append(refs, repo.Name()+"@"+index.Descriptor.Digest.String())
	}
	return refs, nil
}

// phaseTags are the names under which a phase's image is found again: by the input of all its platforms, and by that of
// each, for whoever composes some of them.
func phaseTags(phase builder.Phase, inputs map[string]v1.Hash) []string {
	tags := []string{compose.PhaseTag(phase, compose.PhaseDigest(inputs))}
	if len(inputs) == 1 {
		return tags
	}
	for _, platform := range slices.Sorted(maps.Keys(inputs)) {
		tags = append(tags, compose.PhaseTag(phase, compose.PhaseDigest(map[string]v1.Hash{platform: inputs[platform]})))
	}
	return tags
}

// sourcesTags are the names under which a phase's image is found by what each platform's was made of.
func (r *run) sourcesTags(phase builder.Phase) []string {
	var tags []string
	for _, u := range r.units {
		if u.phase.Name != phase || u.sourceDigest == (v1.Hash{}) {
			continue
		}
		for _, digest := range []v1.Hash{u.sourceDigest, u.portable} {
			if tag := sourcesTag(phase, digest); !slices.Contains(tags, tag) {
				tags = append(tags, tag)
			}
		}
	}
	return tags
}

// pushServer composes the server image and publishes it; layers get there by mounting.
func (r *run) pushServer(ctx context.Context) (*Result, error) {
	index, err := r.composeServer()
	if err != nil {
		return nil, err
	}
	if err := r.checkBudgets(ctx, index); err != nil {
		return nil, err
	}
	repo, err := r.Open(r.req.Repository)
	if err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, r.Jobs))
	seen := map[*layer.Layer]bool{}
	for _, u := range r.units {
		for _, l := range u.layers {
			if u.phase.Repository == r.req.Repository || seen[l] {
				continue
			}
			seen[l] = true
			blob, err := r.forServer(u, l)
			if err != nil {
				return nil, err
			}
			g.Go(func() error {
				put, err := repo.PutBlob(gctx, blob, u.phase.Repository)
				if put.Transfer == builder.Mounted || put.Transfer == builder.Pushed {
					r.sums.add(put)
				}
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("put layers into %s: %w", repo.Name(), err)
	}
	attachments := []attachment{r.attachLock, r.attachEvidence(index)}
	if r.req.ServerOnly {
		attachments = nil
	}
	if err := r.publish(ctx, repo, index, r.req.Tags, attachments...); err != nil {
		return nil, fmt.Errorf("publish %s: %w", repo.Name(), err)
	}
	return r.result(&index, repo.Name()+"@"+index.Descriptor.Digest.String())
}

// forServer is a layer as it can be sent to the server's repository, should that not mount it: what cannot be made again is
// read from the phase's.
func (r *run) forServer(u *unit, l *layer.Layer) (builder.Blob, error) {
	d, known := l.Descriptor()
	if !known || !l.IsExisting() {
		return l, nil
	}
	from, err := r.Open(u.phase.Repository)
	return builder.Copied{From: from, Desc: bare(d)}, err
}

func (r *run) composeServer() (compose.Index, error) {
	var platforms []compose.Platform
	for _, p := range r.req.Platforms {
		cp := compose.Platform{Platform: p}
		for _, u := range r.units {
			if slices.ContainsFunc(u.platforms, p.Equals) {
				part, err := u.part()
				if err != nil {
					return compose.Index{}, err
				}
				cp.Parts = append(cp.Parts, part)
			}
		}
		platforms = append(platforms, cp)
	}
	index, err := compose.Build(platforms, r.req.Image)
	for _, img := range index.Images {
		if n := len(img.Layers); n > compose.WarnLayers {
			r.Log.Warn("the image has many layers; engines stop at 120", "platform", img.Platform.String(), "layers", n)
		}
	}
	return index, err
}

// attachment stores something beside an image.
type attachment func(ctx context.Context, to *attach.Batch) error

// publish sends configs, then manifests, then the index and what is beside it, then moves the tags.
func (r *run) publish(ctx context.Context, repo builder.Repository, index compose.Index, tags []string, attachments ...attachment) error {
	for _, img := range index.Images {
		if _, err := repo.PutBlob(ctx, builder.Bytes{Desc: img.ConfigDescriptor, Content: img.Config}); err != nil {
			return err
		}
	}
	for _, img := range index.Images {
		if _, err := repo.PutManifest(ctx, string(img.ManifestDescriptor.MediaType), img.Manifest); err != nil {
			return err
		}
	}
	if _, err := repo.PutManifest(ctx, string(index.Descriptor.MediaType), index.Raw); err != nil {
		return err
	}
	beside := &attach.Batch{Repository: repo, Subject: index.Descriptor}
	for _, attach := range attachments {
		if err := attach(ctx, beside); err != nil {
			return err
		}
	}
	if err := beside.Done(ctx); err != nil {
		return err
	}
	for _, tag := range tags {
		if err := repo.Tag(ctx, tag, index.Descriptor, index.Raw); err != nil {
			return err
		}
	}
	return nil
}

// watched reports how a layer's packing goes on.
type watched struct {
	builder.Blob
	start func(string, int64) (func(int64), func())
	name  string
}

func (b *watched) WriteTo(ctx context.Context, w io.Writer) (v1.Descriptor, error) {
	add, done := b.start(b.name, b.SizeHint())
	defer done()
	return b.Blob.WriteTo(ctx, writerFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		add(int64(n))
		return n, err
	}))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
