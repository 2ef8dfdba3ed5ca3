package agent

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Source says what shall be warm.
type Source interface {
	// Watch calls set as soon as it knows, and at every change, until ctx ends, when it returns nil. It does not call set
	// before it knows all: what set leaves out is released.
	Watch(ctx context.Context, set func([]warmer.Want)) error
}

// Players says how many players are on the node.
type Players interface {
	// Watch calls set at every change, until ctx ends, when it returns nil.
	Watch(ctx context.Context, set func(int)) error
}

// Throttle bounds how fast a registry is read.
type Throttle interface {
	// SetBandwidth is in bytes per second; 0 means as fast as it goes.
	SetBandwidth(bytesPerSecond int64)
}

// Pace is how much an agent does at a time.
type Pace struct {
	Fetches, Unpacks int
	// Bandwidth is in bytes per second; 0 means as fast as it goes.
	Bandwidth int64
}

// Options are an agent's parts and limits. Runtime and Registry are needed.
type Options struct {
	Runtime  warmer.Runtime
	Registry warmer.Registry
	// Access lets the runtime fetch by itself as long as no limit is in force; nil has all bytes pass through Registry.
	Access *warmer.Access
	// Throttle and Players may be nil.
	Throttle Throttle
	Players  Players

	// Platform is the node's, OS/ARCH; empty means this program's.
	Platform string
	// Alone is the pace while no players are on the node, Playing while some are.
	Alone, Playing Pace
	// FloorBytes and FloorPercent of the disk stay free, whichever is more.
	FloorBytes   int64
	FloorPercent int
	// Refresh is after how long tags are looked up again, Grace for how long what is unwanted stays.
	Refresh, Grace time.Duration
	// Observe is how often the node is looked at although nothing happened.
	Observe time.Duration
	// Attempts is how many failures in a row end a Pull.
	Attempts int

	Log      *slog.Logger
	Observer Observer
}

// Agent warms one node. Use [New].
type Agent struct {
	o     Options
	inbox chan func(context.Context, *loop)

	mu             sync.Mutex
	status         Status
	alone, playing Pace
}

// New makes one.
func New(o Options) *Agent {
	if o.Platform == "" {
		o.Platform = "linux/" + runtime.GOARCH
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Observe <= 0 {
		o.Observe = time.Minute
	}
	o.Attempts = max(o.Attempts, 1)
	return &Agent{o: o, inbox: make(chan func(context.Context, *loop)), alone: o.Alone.atLeastOne(), playing: o.Playing.atLeastOne()}
}

// SetPace replaces the paces of the options, at once.
func (a *Agent) SetPace(ctx context.Context, alone, playing Pace) {
	a.mu.Lock()
	a.alone, a.playing = alone.atLeastOne(), playing.atLeastOne()
	a.mu.Unlock()
	a.post(ctx, func(_ context.Context, l *loop) { l.throttle() })
}

func (a *Agent) paces() (alone, playing Pace) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.alone, a.playing
}

func (p Pace) atLeastOne() Pace {
	p.Fetches, p.Unpacks = max(p.Fetches, 1), max(p.Unpacks, 1)
	return p
}

// Run warms what source says until ctx ends; then it waits for what it began and returns nil. Whatever fails on the way is
// tried again. The error is that of a source that ended by itself.
func (a *Agent) Run(ctx context.Context, source Source) error {
	return a.run(ctx, source, true, func() bool { return false })
}

// run runs until finished says so; service is for the agent that owns the node.
func (a *Agent) run(ctx context.Context, source Source, service bool, finished func() bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var feeds sync.WaitGroup
	defer feeds.Wait()
	feed := func(run func(context.Context) error) {
		feeds.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	feed(func(ctx context.Context) error {
		return source.Watch(ctx, func(w []warmer.Want) { a.post(ctx, func(_ context.Context, l *loop) { l.set(w) }) })
	})
	if service {
		feed(a.watchRuntime)
	}
	if a.o.Players != nil {
		feed(func(ctx context.Context) error {
			return a.o.Players.Watch(ctx, func(n int) { a.post(ctx, func(_ context.Context, l *loop) { l.play(n) }) })
		})
	}
	l := newLoop(a, service)
	l.run(ctx, finished)
	ended := context.Cause(ctx)
	cancel(nil)
	if ended == context.Canceled || ended == context.DeadlineExceeded || ended == nil { //nolint:errorlint // causes of others wrap them
		return nil
	}
	return ended
}

// watchRuntime watches events and begins again when the runtime was away.
func (a *Agent) watchRuntime(ctx context.Context) error {
	for {
		err := a.o.Runtime.Watch(ctx, func(e warmer.Event) { a.post(ctx, func(ctx context.Context, l *loop) { l.happened(ctx, e) }) })
		if ctx.Err() != nil {
			return nil //nolint:nilerr // whatever it says: it was told to end
		}
		a.o.Log.Warn("container runtime's events ended", "error", err)
		pause := time.NewTimer(time.Second)
		select {
		case <-pause.C:
			a.post(ctx, func(ctx context.Context, l *loop) { l.observe(ctx) })
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// post hands something to the loop's goroutine.
func (a *Agent) post(ctx context.Context, f func(context.Context, *loop)) {
	select {
	case a.inbox <- f:
	case <-ctx.Done():
	}
}

// Status is the latest.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// Static is a source that never changes.
type Static []warmer.Want

// Watch says it once.
func (s Static) Watch(ctx context.Context, set func([]warmer.Want)) error {
	set(s)
	<-ctx.Done()
	return nil
}
