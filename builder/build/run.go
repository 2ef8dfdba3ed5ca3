package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

// run is one build in progress.
type run struct {
	*Builder
	req   Request
	known known
	// composing is set if nothing is to be made.
	composing bool
	units     []*unit
	pins      []builder.Pin
	sums      transfers
	// next is the lock that the build gives, once it is known.
	next *lock.Lock
	// lost are layers of the lock that no repository has.
	lost map[int]bool
	// taken are the input digests of phases that were named as images.
	taken map[builder.Phase]v1.Hash
	// fetched is how many bytes sources had to get from elsewhere.
	fetched int64
}

// Build makes what the request asks for and publishes it: blobs first, then configs, manifests and indexes, tags
// last. On failure nothing is under a tag that was not there before, and a second run takes up what is there. If
// the tags already name the result, nothing is sent at all.
func (b *Builder) Build(ctx context.Context, req Request) (*Result, error) {
	r, err := b.prepare(ctx, req)
	if err != nil {
		return nil, err
	}
	if res, err := r.upToDate(ctx); res != nil || err != nil {
		return res, err
	}
	if err := r.replaceLost(ctx); err != nil {
		return nil, err
	}
	if err := r.pushLayers(ctx); err != nil {
		return nil, err
	}
	if !req.ServerOnly {
		refs, err := r.pushPhases(ctx)
		if err != nil {
			return nil, err
		}
		if len(req.Only) > 0 {
			return r.result(nil, refs[len(refs)-1])
		}
	}
	return r.pushServer(ctx)
}

// prepare reads the sources and decides which layers have to be made.
func (b *Builder) prepare(ctx context.Context, req Request) (*run, error) {
	r := &run{Builder: b, req: req, composing: req.composing}
	if r.Log == nil {
		withLog := *b
		withLog.Log = slog.New(slog.DiscardHandler)
		r.Builder = &withLog
	}
	if req.Compact && req.Lock != nil {
		pins := lock.Lock{Classes: req.Lock.Classes, Images: req.Lock.Images}
		r.req.Lock = &pins
	}
	r.known = known{lock: r.req.Lock, memory: b.Layers, load: r.loadPrevious}
	if req.remake {
		r.known.lock = &lock.Lock{}
	}
	if err := r.takeLock(ctx); err != nil {
		return nil, err
	}
	r.units = plannedUnits(r.req)
	for _, u := range r.units {
		if err := r.resolve(ctx, u); err != nil {
			return nil, err
		}
		if err := r.takeReady(ctx, u); err != nil {
			return nil, err
		}
	}
	if err := r.impossible(); err != nil {
		return nil, err
	}
	for _, u := range r.units {
		if u.ready {
			continue
		}
		if err := r.readTree(ctx, u); err != nil {
			return nil, err
		}
	}
	if err := r.collisions(); err != nil {
		return nil, err
	}
	for _, u := range r.units {
		if u.ready {
			continue
		}
		if err := r.planLayers(ctx, u); err != nil {
			return nil, fmt.Errorf("phase %s: %w", u.phase.Name, err)
		}
	}
	shareEqualLayers(r.units)
	return r, nil
}

// replaceLost plans the assets again if a layer that cannot be made is in no repository: of a lock that was taken to
// another registry, or whose registry was cleaned up.
func (r *run) replaceLost(ctx context.Context) error {
	if err := r.markPresent(); err != nil {
		return err
	}
	for _, u := range r.units {
		lost, err := r.lostOf(ctx, u)
		if err != nil {
			return err
		}
		if len(lost) == 0 {
			continue
		}
		r.Log.Warn("layers are planned again: the repository does not have them, and they hold files that are gone", "layers", len(lost))
		r.lost = lost
		if err := r.planLayers(ctx, u); err != nil {
			return fmt.Errorf("phase %s: %w", u.phase.Name, err)
		}
	}
	return nil
}

func (r *run) lostOf(ctx context.Context, u *unit) (map[int]bool, error) {
	repo, err := r.Open(u.phase.Repository)
	if err != nil {
		return nil, err
	}
	lost := map[int]bool{}
	for i, l := range u.layers {
		if d, ok := l.Descriptor(); ok && l.IsExisting() && !r.req.remake && !u.ready {
			have, err := repo.HasBlob(ctx, d)
			if err != nil {
				return nil, err
			}
			if !have && !r.elsewhere(d) {
				lost[u.plan.Layers[i].ID] = true
			}
		}
	}
	return lost, nil
}

// elsewhere reports whether the image that the build was told to go on from has the layer.
func (r *run) elsewhere(d v1.Descriptor) bool { return r.req.From != nil && r.known.has(d.Digest) }

// loadPrevious reads the image that the build goes on from: the one that was asked for, or what the first tag names now; nil
// if there is none.
func (r *run) loadPrevious(ctx context.Context) (*inspect.Image, error) {
	from, err := r.origin()
	if from == nil || err != nil {
		return nil, err
	}
	img, err := inspect.Load(ctx, from.Repository, from.Reference)
	if errors.Is(err, builder.ErrNotFound) && r.req.From == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s:%s: %w", from.Name, from.Reference, err)
	}
	return img, nil
}

// origin is where the image is that the build goes on from; nil if there is no tag to look at.
func (r *run) origin() (*Origin, error) {
	if r.req.From != nil || len(r.req.Tags) == 0 {
		return r.req.From, nil
	}
	repo, err := r.Open(r.req.Repository)
	if err != nil {
		return nil, err
	}
	return &Origin{Repository: repo, Name: repo.Name(), Reference: r.req.Tags[0]}, nil
}

// upToDate ends the build early: if every layer is known and each tag has the digest that the build would give it,
// all that was pushed below the tag is there too. One HEAD per tag.
func (r *run) upToDate(ctx context.Context) (*Result, error) {
	if len(r.req.Tags) == 0 || len(r.req.Only) > 0 {
		return nil, nil
	}
	for _, u := range r.units {
		if !u.complete() {
			return nil, nil
		}
	}
	index, err := r.composeServer()
	if err != nil {
		return nil, err
	}
	repo, err := r.Open(r.req.Repository)
	if err != nil {
		return nil, err
	}
	for _, tag := range r.req.Tags {
		d, err := repo.Head(ctx, tag)
		if errors.Is(err, builder.ErrNotFound) || err == nil && d.Digest != index.Descriptor.Digest {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	if err := r.remember(); err != nil {
		return nil, err
	}
	r.Log.Info("nothing to do", "ref", repo.Name()+":"+r.req.Tags[0], "digest", index.Descriptor.Digest.String())
	r.sums.reused = storedBytes(index)
	return r.result(&index, repo.Name()+"@"+index.Descriptor.Digest.String())
}

func storedBytes(index compose.Index) int64 {
	seen := map[v1.Hash]bool{}
	var sum int64
	for _, img := range index.Images {
		for _, l := range img.Layers {
			if !seen[l.Descriptor.Digest] {
				seen[l.Descriptor.Digest] = true
				sum += l.Descriptor.Size
			}
		}
	}
	return sum
}

func (r *run) result(index *compose.Index, ref string) (*Result, error) {
	res := &Result{
		Ref: ref, Index: index,
		PushedBytes: r.sums.pushed, MountedBytes: r.sums.mounted, ReusedBytes: r.sums.reused,
	}
	_, digest, _ := cutLast(ref, "@")
	res.Digest = digest
	res.Phases = r.phaseResults()
	var err error
	res.Lock, err = r.newLock()
	return res, err
}

func (r *run) phaseResults() []PhaseResult {
	out := []PhaseResult{}
	for _, phase := range phasesOf(r.units) {
		pr := PhaseResult{Name: string(phase), Cached: true, InputDigest: compose.PhaseDigest(inputsOf(r.units, phase)).String()}
		for _, u := range r.units {
			if u.phase.Name == phase {
				pr.Layers = len(u.layers)
				pr.Cached = pr.Cached && !u.made
			}
		}
		pr.Reason = r.reason(phase)
		out = append(out, pr)
	}
	return out
}

// newLock is what the next build should know: the assets' layers, if they were part of this build, and the pins.
func (r *run) newLock() (*lock.Lock, error) {
	if r.next != nil {
		return r.next, nil
	}
	out := &lock.Lock{}
	if r.req.Lock != nil {
		*out = *r.req.Lock
	}
	for _, u := range r.units {
		if u.phase.Name == builder.Assets && !u.ready {
			if err := u.lockInto(out); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range r.pins {
		out.Pin(p.Name, p.Digest)
	}
	if len(out.Layers)+len(out.Images) == 0 {
		return nil, nil // nothing to remember
	}
	r.next = out
	return out, nil
}

func phasesOf(units []*unit) []builder.Phase {
	var out []builder.Phase
	for _, p := range builder.Phases() {
		if slices.ContainsFunc(units, func(u *unit) bool { return u.phase.Name == p }) {
			out = append(out, p)
		}
	}
	return out
}

func inputsOf(units []*unit, phase builder.Phase) map[string]v1.Hash {
	out := map[string]v1.Hash{}
	for _, u := range units {
		if u.phase.Name == phase {
			for _, p := range u.platforms {
				out[p.String()] = u.input
			}
		}
	}
	return out
}
