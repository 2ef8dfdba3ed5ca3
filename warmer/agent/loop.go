package agent

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// loop is the state of one run; only its own goroutine touches it.
type loop struct {
	agent   *Agent
	service bool
	jobs    sync.WaitGroup

	wants     []warmer.Want
	told      bool // somebody said what is wanted
	wanted    map[string]*wanted
	blobs     map[warmer.Digest]warmer.Blob
	snapshots map[warmer.Digest]bool
	grown     map[warmer.Digest]int64
	held      []warmer.Held
	disk      warmer.Disk
	diskErr   error
	players   int

	running   []*job
	observing bool
	again     bool // observe once more
	observed  time.Time
	published time.Time
	waits     []warmer.Action
}

// wanted is one want's history in this run.
type wanted struct {
	want  warmer.Want
	since time.Time // wanted, and not warm
	known *warmer.Known
	warm  bool
	// found says that it was warm when it was looked at first.
	looked, found bool
	fetched       atomic.Int64
	// fetchedOf is the same by phase, of fetches that have ended, since it was not warm.
	fetchedOf map[string]int64
	// untransferable says that the runtime could not bring it by itself, since it was not warm.
	untransferable bool

	failures int
	failed   time.Time // when it did last
	until    time.Time
	err      error
}

// job is a running action.
type job struct {
	warmer.Action
	phase   string
	size    int64
	parts   *parts // of a transfer
	began   time.Time
	applied time.Time    // when an unpacking had only the layer below to wait for
	done    atomic.Int64 // bytes fetched
	cancel  context.CancelCauseFunc
	guarded bool
	free    int64 // of the disk, when it began
}

// waits says that a job does nothing but wait for another one.
func (j *job) waits() bool { return !j.applied.IsZero() }

// took is how long a job had something to do.
func (j *job) took() time.Duration {
	if j.waits() {
		return j.applied.Sub(j.began)
	}
	return time.Since(j.began)
}

func newLoop(a *Agent, service bool) *loop {
	return &loop{
		agent: a, service: service,
		wanted: map[string]*wanted{}, blobs: map[warmer.Digest]warmer.Blob{}, snapshots: map[warmer.Digest]bool{}, grown: map[warmer.Digest]int64{},
	}
}

// How often the disk is looked at while something is written to it, and the status brought up to date.
const (
	guardEvery   = 50 * time.Millisecond
	publishEvery = 250 * time.Millisecond
)

func (l *loop) run(ctx context.Context, finished func() bool) {
	defer l.stop()
	l.throttle()
	l.observe(ctx)
	guard, wake := time.NewTicker(guardEvery), time.NewTimer(0)
	defer guard.Stop()
	defer wake.Stop()
	guard.Stop()
	for guarding := false; ; {
		l.step(ctx)
		l.publish()
		if finished() {
			return
		}
		switch runs := len(l.running) > 0; {
		case runs && !guarding: // and not each time, or what happens often would put it off for ever
			guard.Reset(guardEvery)
			guarding = true
		case !runs:
			guard.Stop()
			guarding = false
		}
		wake.Reset(l.sleep())
		if !l.await(ctx, guard.C, wake.C) {
			return
		}
	}
}

// await takes in what happens next, and returns false when the run is over.
func (l *loop) await(ctx context.Context, guard, wake <-chan time.Time) bool {
	for {
		select {
		case f := <-l.agent.inbox:
			f(ctx, l)
			return true
		case <-guard:
			l.guard(ctx)
			if time.Since(l.published) > publishEvery {
				l.publish()
			}
		case <-wake:
			if !l.observing && time.Since(l.observed) >= l.agent.o.Observe {
				l.observe(ctx)
			}
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// stop ends the jobs and waits for them; they have nobody to tell any more.
func (l *loop) stop() {
	for _, j := range l.running {
		j.cancel(nil)
	}
	ended := make(chan struct{})
	go func() { l.jobs.Wait(); close(ended) }() // ends with the jobs, which were told to
	for {
		select {
		case <-l.agent.inbox:
		case <-ended:
			return
		}
	}
}

// sleep is until when nothing happens by itself.
func (l *loop) sleep() time.Duration {
	next := l.agent.o.Observe
	if !l.observing {
		next -= time.Since(l.observed)
	}
	for _, w := range l.waits {
		if !w.Until.IsZero() {
			next = min(next, time.Until(w.Until))
		}
	}
	return max(next, time.Millisecond)
}

// set takes in what is wanted from now on.
func (l *loop) set(wants []warmer.Want) {
	wants = slices.Clone(wants)
	for i := range wants {
		if wants[i].Platform == l.agent.o.Platform { // the same as none
			wants[i].Platform = ""
		}
	}
	l.wants, l.told = warmer.Normalize(wants), true
	next := map[string]*wanted{}
	for _, w := range l.wants {
		key := w.Key()
		had := l.wanted[key]
		if had == nil {
			had = &wanted{since: time.Now(), fetchedOf: map[string]int64{}}
		}
		if had.want != w && had.known != nil {
			had.known.Kept = false // its pin may be another now
		}
		had.want = w
		next[key] = had
	}
	for _, j := range l.running {
		if next[j.Key] == nil && l.wanted[j.Key] != nil {
			j.cancel(errUnwanted)
		}
	}
	l.wanted = next
}

func (l *loop) play(players int) {
	l.players = players
	l.throttle()
}

func (l *loop) pace() Pace {
	alone, playing := l.agent.paces()
	if l.players > 0 {
		return playing
	}
	return alone
}

func (l *loop) throttle() {
	if t := l.agent.o.Throttle; t != nil {
		t.SetBandwidth(l.pace().Bandwidth)
	}
}

// state is what is planned with.
func (l *loop) state() warmer.State {
	pace := l.pace()
	s := warmer.State{
		Now: time.Now(), Images: map[string]warmer.Known{}, Blobs: maps.Clone(l.blobs), Snapshots: l.snapshots, Grown: l.grown, Held: l.held,
		NotBefore: map[string]time.Time{}, Untransferable: map[string]bool{}, Applied: map[warmer.Digest]bool{}, Disk: l.disk,
		Limits: warmer.Limits{
			Fetches: pace.Fetches, Unpacks: pace.Unpacks, Transfer: l.transfers(), Ahead: l.agent.o.Runtime.Ahead(),
			Refresh: l.agent.o.Refresh, Grace: l.agent.o.Grace,
		},
	}
	for key, w := range l.wanted {
		if w.known != nil {
			s.Images[key] = *w.known
		}
		s.NotBefore[key] = w.until
		s.Untransferable[key] = w.untransferable
	}
	for _, j := range l.running {
		a := j.Action
		if a.Do == warmer.Transfer {
			a.Bytes = max(0, a.Bytes-j.done.Load())
		}
		if j.waits() {
			s.Applied[j.Digest] = true
		}
		s.Running = append(s.Running, a)
		if b := s.Blobs[j.Digest]; j.Do == warmer.Fetch {
			b.Offset += j.done.Load()
			s.Blobs[j.Digest] = b
		}
	}
	return s
}

// step plans and starts what is planned. Nothing is planned before the node was looked at.
func (l *loop) step(ctx context.Context) {
	l.waits = nil
	if l.observed.IsZero() || !l.told {
		return
	}
	for _, a := range warmer.Plan(l.wants, l.state()) {
		switch {
		case a.Do == warmer.Wait:
			l.waits = append(l.waits, a)
		case a.Do == warmer.Interrupt:
			l.interrupt(a.Key)
		case !l.service && (a.Do == warmer.Unpin || a.Do == warmer.Evict):
		default:
			l.start(ctx, a)
		}
	}
}

// happened takes in an event of the runtime.
func (l *loop) happened(ctx context.Context, e warmer.Event) {
	switch {
	case e.Created != "":
		if !e.Sandbox {
			l.started(e.Image)
		}
	default:
		l.observe(ctx)
	}
}

// started counts a container whose image is wanted.
func (l *loop) started(image string) {
	for key, w := range l.wanted {
		if w.want.Layers == warmer.Assets || !w.names(image) {
			continue
		}
		var bytes int64
		if w.warm && w.known != nil {
			bytes = total(w.known.Layers)
		}
		l.agent.o.Observer.Started(key, w.warm, bytes)
		return
	}
}

// names says that a container's image is this one.
func (w *wanted) names(image string) bool {
	ref, err := warmer.ParseReference(w.want.Ref)
	if err != nil {
		return false
	}
	if w.known == nil {
		return ref.String() == image
	}
	return slices.Contains(ref.Records(w.known.Target.Digest, w.known.Config.Digest), image)
}

func total(layers []warmer.Layer) int64 {
	var n int64
	for i := range layers {
		n += layers[i].Size
	}
	return n
}
