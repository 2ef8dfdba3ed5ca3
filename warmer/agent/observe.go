package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// seen is what one look at the node shows.
type seen struct {
	disk    warmer.Disk
	diskErr error
	held    []warmer.Held
	images  map[string]warmer.Observed
	err     error
}

// observe looks at the node, once more after a look that is going on.
func (l *loop) observe(ctx context.Context) {
	if l.observing {
		l.again = true
		return
	}
	l.observing = true
	images := map[string]warmer.Known{}
	for key, w := range l.wanted {
		if w.known != nil {
			images[key] = *w.known
		}
	}
	wants := map[string]warmer.Want{}
	for key, w := range l.wanted {
		wants[key] = w.want
	}
	l.jobs.Go(func() {
		s := l.agent.look(ctx, l.service, wants, images)
		l.agent.post(ctx, func(ctx context.Context, l *loop) { l.saw(ctx, s) })
	})
}

func (a *Agent) look(ctx context.Context, service bool, wants map[string]warmer.Want, images map[string]warmer.Known) seen {
	s := seen{images: map[string]warmer.Observed{}}
	s.disk, s.diskErr = a.o.Runtime.Disk(ctx)
	if service {
		s.held, s.err = a.o.Runtime.Held(ctx)
	}
	for key, known := range images {
		o, err := a.o.Runtime.Observe(ctx, wants[key], known.Image)
		if err != nil {
			s.err = errors.Join(s.err, err)
			return s
		}
		s.images[key] = o
	}
	return s
}

func (l *loop) saw(ctx context.Context, s seen) {
	l.observing = false
	l.observed = time.Now()
	l.setDisk(s.disk, s.diskErr)
	if s.err != nil {
		l.agent.o.Log.Warn("node cannot be looked at", "error", s.err)
	} else {
		l.held = s.held
		for key, o := range s.images {
			if w := l.wanted[key]; w != nil && w.known != nil {
				l.sawImage(key, w, o)
			}
		}
	}
	if l.again {
		l.again = false
		l.observe(ctx)
	}
}

// sawImage takes in what is there of an image.
func (l *loop) sawImage(key string, w *wanted, o warmer.Observed) {
	maps.Copy(l.blobs, o.Blobs)
	maps.Copy(l.snapshots, o.Snapshots)
	if w.known != nil {
		w.known.Kept = o.Kept
	}
	if !o.Documents && !l.busy(key) { // what is at work may be giving it back, and will say so
		w.known = nil
	}
	l.judge(key, w)
}

// busy says that something is fetched or unpacked for an image.
func (l *loop) busy(key string) bool {
	return slices.ContainsFunc(l.running, func(j *job) bool { return j.Key == key && j.guarded && !j.waits() })
}

// judge says whether an image is warm now, and tells when that has changed.
func (l *loop) judge(key string, w *wanted) {
	warm := w.known != nil && w.known.Kept
	if warm {
		for _, x := range w.want.Layers.Select(w.known.Layers) {
			warm = warm && l.blobs[x.Digest].Complete && l.snapshots[x.ChainID]
		}
	}
	if w.known != nil && !w.looked {
		w.looked, w.found = true, warm
	}
	switch {
	case warm && !w.warm:
		took := time.Since(w.since)
		l.agent.o.Log.Info("image is warm", "image", key, "took", took, "fetchedBytes", w.fetched.Load())
		l.agent.o.Observer.Warm(key, took, w.reused())
		w.fetchedOf = map[string]int64{}
	case !warm && w.warm:
		w.since = time.Now()
		l.agent.o.Log.Warn("image is not warm any more", "image", key)
		l.agent.o.Observer.Lost(key)
	}
	if warm && !w.warm { // whoever made it so
		w.failures, w.until, w.err, w.untransferable = 0, time.Time{}, nil, false
	}
	w.warm = warm
}

// reused is how many bytes of each phase were there already.
func (w *wanted) reused() map[string]int64 {
	out := map[string]int64{}
	for _, x := range w.want.Layers.Select(w.known.Layers) {
		out[x.Phase] += x.Size
	}
	for phase, n := range w.fetchedOf {
		out[phase] = max(0, out[phase]-n)
	}
	return out
}

// setDisk takes in the disk, with the floor. A runtime that does not say counts as one with room.
func (l *loop) setDisk(d warmer.Disk, err error) {
	if err != nil {
		if l.diskErr == nil {
			l.agent.o.Log.Warn("free space is not known", "error", err)
		}
		l.disk, l.diskErr = warmer.Disk{Free: 1 << 62}, err
		return
	}
	d.Floor = l.agent.floor(d)
	l.disk, l.diskErr = d, nil
}

func (a *Agent) floor(d warmer.Disk) int64 {
	return max(a.o.FloorBytes, d.Total/100*int64(a.o.FloorPercent))
}

// guard looks at the disk while something is written, and ends that when the floor is reached.
func (l *loop) guard(ctx context.Context) {
	writes := false
	for _, j := range l.running {
		writes = writes || j.guarded && !j.waits()
	}
	if !writes {
		return
	}
	l.setDisk(l.agent.o.Runtime.Disk(ctx))
	if l.disk.Free >= l.disk.Floor {
		return
	}
	for _, j := range l.running {
		if j.guarded {
			j.cancel(errFloor)
		}
	}
}
