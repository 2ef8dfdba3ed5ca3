package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// outcome is what a job brings.
type outcome struct {
	err      error
	known    *warmer.Known    // of Resolve
	observed *warmer.Observed // of its image afterwards, where that is worth a look
}

// start runs an action.
func (l *loop) start(all context.Context, a warmer.Action) {
	ctx, cancel := context.WithCancelCause(all)
	j := &job{Action: a, began: time.Now(), cancel: cancel, free: l.disk.Free, guarded: a.Do == warmer.Transfer || a.Do == warmer.Fetch || a.Do == warmer.Unpack}
	w, service := l.wanted[a.Key], l.service
	var known warmer.Known
	if w != nil && w.known != nil {
		known = *w.known
		switch a.Do {
		case warmer.Transfer:
			j.parts = newParts(known.Layers, l.blobs)
		case warmer.Fetch, warmer.Unpack:
			j.phase, j.size = known.Layers[a.Layer].Phase, known.Layers[a.Layer].Size
		case warmer.Resolve, warmer.Interrupt, warmer.Keep, warmer.Unpin, warmer.Evict, warmer.Wait:
		}
	}
	l.running = append(l.running, j)
	l.jobs.Go(func() {
		defer cancel(nil)
		var out outcome
		if w == nil {
			out.err = l.agent.release(ctx, a)
		} else {
			out = l.agent.do(ctx, j, w, known, service, func() {
				at := time.Now()
				l.agent.post(all, func(_ context.Context, l *loop) {
					j.applied = at
					l.strand(j)
				})
			})
		}
		if cause := context.Cause(ctx); out.err != nil && cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(out.err, errFloor) {
			out.err = cause
		}
		l.agent.post(all, func(ctx context.Context, l *loop) { l.ended(ctx, j, out) })
	})
}

func (a *Agent) release(ctx context.Context, x warmer.Action) error {
	if x.Do == warmer.Unpin {
		return a.o.Runtime.Unpin(ctx, x.Key)
	}
	return a.o.Runtime.Evict(ctx, x.Key)
}

// do does what is done for an image. applied is told when a layer is unpacked and waits for the one below it.
func (a *Agent) do(ctx context.Context, j *job, w *wanted, known warmer.Known, service bool, applied func()) outcome {
	want := w.want
	hold := warmer.Hold{Key: j.Key, Want: want}
	var out outcome
	switch j.Do {
	case warmer.Resolve:
		k, err := a.resolve(ctx, hold, known)
		if err != nil && service && len(known.Layers) == 0 {
			k, _ = a.remembered(ctx, hold) // without, there is the registry's error
		}
		out.err = err
		if k.Manifest.Digest == "" {
			return out
		}
		out.known, known = &k, k
	case warmer.Transfer:
		out.err = a.transfer(ctx, j, hold, known.Image)
	case warmer.Fetch:
		layer := known.Layers[j.Layer].Descriptor
		out.err = a.o.Runtime.Fetch(ctx, hold, layer, func(offset int64) (io.ReadCloser, error) {
			return a.o.Registry.Blob(ctx, want.Ref, layer, offset)
		}, func(n int64) { j.done.Add(n); w.fetched.Add(n) })
	case warmer.Unpack:
		out.err = a.o.Runtime.Unpack(ctx, hold, known.Layers, j.Layer, applied)
	case warmer.Keep:
		out.err = a.o.Runtime.Keep(ctx, hold, known.Image)
	case warmer.Interrupt, warmer.Unpin, warmer.Evict, warmer.Wait:
	}
	if full := errors.Is(context.Cause(ctx), errFloor) || j.guarded && out.err != nil && a.belowFloor(ctx); full {
		out.err = errors.Join(errFloor, out.err, a.giveBack(ctx, hold))
	}
	if out.err == nil && j.guarded {
		return out
	}
	o, err := a.o.Runtime.Observe(context.WithoutCancel(ctx), want, known.Image)
	if err != nil {
		out.err = errors.Join(out.err, err)
		return out
	}
	out.observed = &o
	return out
}

// belowFloor says that there is less room than there has to be: then that is why something failed.
func (a *Agent) belowFloor(ctx context.Context) bool {
	d, err := a.o.Runtime.Disk(ctx)
	return err == nil && d.Free < a.floor(d)
}

// giveBack frees what was taken for an image that does not fit.
func (a *Agent) giveBack(ctx context.Context, h warmer.Hold) error {
	return a.o.Runtime.Abandon(context.WithoutCancel(ctx), h)
}

// ended takes in what a job brought.
func (l *loop) ended(ctx context.Context, j *job, out outcome) {
	l.running = slices.DeleteFunc(l.running, func(x *job) bool { return x == j })
	l.agent.o.Observer.Done(j.Action, j.phase, l.moved(j), j.took(), out.err)
	l.agent.o.Log.Debug("step ended", "step", string(j.Do), "image", j.Key, "layer", j.Layer, "bytes", l.moved(j), "took", j.took(), "error", out.err)
	w := l.wanted[j.Key]
	if w == nil {
		if out.err != nil && !errors.Is(out.err, errUnwanted) && ctx.Err() == nil {
			l.agent.o.Log.Warn("unwanted image stays", "image", j.Key, "error", out.err)
		}
		if out.err == nil {
			l.released(j.Action)
		}
		l.observe(ctx)
		return
	}
	if out.known != nil {
		w.known = out.known
		for _, other := range l.running {
			l.strand(other)
		}
	}
	if j.Do == warmer.Fetch {
		w.fetchedOf[j.phase] += j.done.Load()
	}
	if j.Do == warmer.Transfer && l.transferred(ctx, j, w, out) {
		return
	}
	if out.err == nil && (j.Do == warmer.Fetch || j.Do == warmer.Unpack) {
		l.advanced(j, w)
		l.judge(j.Key, w)
		return
	}
	if out.observed != nil && w.known != nil {
		l.sawImage(j.Key, w, *out.observed)
	}
	if out.err == nil {
		w.succeeded(j)
		return
	}
	if errors.Is(out.err, errFloor) {
		out.err = l.outgrown(j)
	}
	if j.done.Load() > 0 {
		w.failures = 0 // it went on
	}
	l.failed(ctx, w, j.Key, out.err)
	if out.observed == nil {
		l.observe(ctx)
	}
}

// strand ends a job that waits for the layer below when that belongs to what a tag stood for before: nobody unpacks it.
func (l *loop) strand(j *job) {
	w := l.wanted[j.Key]
	if w == nil || w.known == nil || !j.waits() {
		return
	}
	if !slices.ContainsFunc(w.known.Layers, func(x warmer.Layer) bool { return x.ChainID == j.Digest }) {
		j.cancel(errUnwanted)
	}
}

// released takes in that something unwanted was unpinned or evicted: until the node was looked at, so that neither is done
// twice.
func (l *loop) released(a warmer.Action) {
	if a.Do == warmer.Evict {
		l.held = slices.DeleteFunc(l.held, func(h warmer.Held) bool { return h.Key == a.Key })
	}
	for i := range l.held {
		if l.held[i].Key == a.Key {
			l.held[i].Since, l.held[i].Pinned = time.Now(), false
		}
	}
}

// moved is how many bytes a job is about.
func (l *loop) moved(j *job) int64 {
	if j.Do == warmer.Fetch || j.Do == warmer.Transfer {
		return j.done.Load()
	}
	return j.size
}

// advanced takes in a layer that was fetched or unpacked.
func (l *loop) advanced(j *job, w *wanted) {
	if j.Do == warmer.Fetch {
		l.blobs[j.Digest] = warmer.Blob{Complete: true, Offset: j.size}
	} else {
		l.snapshots[j.Digest] = true
	}
	w.succeeded(j)
}

// succeeded ends the waiting that follows failures, unless the job began before the last one and says nothing about it.
func (w *wanted) succeeded(j *job) {
	if j.began.After(w.failed) {
		w.failures, w.until, w.err = 0, time.Time{}, nil
	}
}

// outgrown notes that a layer needs more than it was thought to.
func (l *loop) outgrown(j *job) error {
	if j.Do == warmer.Unpack && !j.waits() {
		l.grown[j.Digest] = max(l.grown[j.Digest], j.free-l.disk.Floor+j.size)
	}
	if j.Do == warmer.Transfer {
		return &DiskError{Key: j.Key, Disk: l.disk}
	}
	return fmt.Errorf("%s of layer %d: %w", j.Do, j.Layer, &DiskError{Key: j.Key, Disk: l.disk})
}
