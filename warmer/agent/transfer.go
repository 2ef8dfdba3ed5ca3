package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// leastFetches is how many layers containerd fetches at a time, unless it is told otherwise. Who wants fewer has nothing
// transferred.
const leastFetches = 3

// transfers says that nothing has to be held back, and so the runtime may fetch by itself.
func (l *loop) transfers() bool {
	pace := l.pace()
	return l.agent.o.Access != nil && l.agent.o.Runtime.Transfers() && l.players == 0 && pace.Bandwidth == 0 && pace.Fetches >= leastFetches
}

// interrupt ends an image's transfer.
func (l *loop) interrupt(key string) {
	for _, j := range l.running {
		if j.Do == warmer.Transfer && j.Key == key {
			j.cancel(errInterrupted)
		}
	}
}

// parts are the blobs that a transfer brings.
type parts struct {
	layers []warmer.Layer
	had    map[warmer.Digest]warmer.Blob // when it began
	begun  map[warmer.Digest]*part
}

// part is a blob of which something came.
type part struct {
	began    time.Time
	at       int64
	complete bool
}

func newParts(layers []warmer.Layer, had map[warmer.Digest]warmer.Blob) *parts {
	return &parts{layers: layers, had: maps.Clone(had), begun: map[warmer.Digest]*part{}}
}

// transfer has the runtime fetch, and tells the loop what comes.
func (a *Agent) transfer(ctx context.Context, j *job, h warmer.Hold, i warmer.Image) error {
	return a.o.Runtime.Transfer(ctx, h, i, *a.o.Access, func(d warmer.Digest, b warmer.Blob) {
		a.post(ctx, func(_ context.Context, l *loop) { l.arrived(j, d, b) })
	})
}

// arrived takes in how much of a blob is there.
func (l *loop) arrived(j *job, d warmer.Digest, b warmer.Blob) {
	p := j.parts.begun[d]
	if p == nil {
		p = &part{began: time.Now(), at: j.parts.had[d].Offset}
		j.parts.begun[d] = p
	}
	if p.complete {
		return
	}
	n := max(0, b.Offset-p.at)
	p.at, p.complete = p.at+n, b.Complete
	if !l.blobs[d].Complete { // nobody saw more in the meantime
		l.blobs[d] = b
	}
	j.done.Add(n)
	if w := l.wanted[j.Key]; w != nil {
		w.fetched.Add(n)
	}
	if b.Complete {
		l.brought(j, d, nil)
	}
}

// brought counts a blob as if it had been fetched alone.
func (l *loop) brought(j *job, d warmer.Digest, err error) {
	i := slices.IndexFunc(j.parts.layers, func(x warmer.Layer) bool { return x.Digest == d })
	if i < 0 {
		return
	}
	layer, p := &j.parts.layers[i], j.parts.begun[d]
	n := p.at - j.parts.had[d].Offset
	if w := l.wanted[j.Key]; w != nil {
		w.fetchedOf[layer.Phase] += n
	}
	l.agent.o.Observer.Done(warmer.Action{Do: warmer.Fetch, Key: j.Key, Layer: i, Digest: d, Bytes: layer.Size}, layer.Phase, n, time.Since(p.began), err)
}

// settle takes in what came of a layer that is not complete.
func (l *loop) settle(j *job, x *warmer.Layer, out outcome) {
	had := j.parts.had[x.Digest]
	if out.err == nil || had.Complete {
		return
	}
	if out.observed != nil && out.observed.Blobs[x.Digest].Offset > had.Offset {
		l.arrived(j, x.Digest, out.observed.Blobs[x.Digest])
	}
	if p := j.parts.begun[x.Digest]; p != nil && !p.complete {
		l.brought(j, x.Digest, out.err)
	}
}

// transferred takes in how a transfer ended. What it did not bring is fetched; only a disk that is full is a failure of the
// image, for which it returns false.
func (l *loop) transferred(ctx context.Context, j *job, w *wanted, out outcome) bool {
	for i := range j.parts.layers {
		l.settle(j, &j.parts.layers[i], out)
	}
	if errors.Is(out.err, errFloor) {
		return false
	}
	if out.observed != nil {
		maps.Copy(l.blobs, out.observed.Blobs) // layers were unpacked since
	} else if out.err != nil {
		l.observe(ctx)
	}
	if out.err != nil && !errors.Is(out.err, errInterrupted) && !errors.Is(out.err, errUnwanted) {
		w.untransferable = true
		l.agent.o.Log.Info("the runtime could not bring the image by itself", "image", j.Key, "error", out.err)
	}
	return true
}
