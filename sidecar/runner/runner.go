// Package runner runs the sidecar's state machine: what a game and Agones do goes in as events, one after the other, and what
// comes out is done. It owns the clock and nothing else.
package runner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// SDK is Agones. Its methods do not block.
type SDK interface {
	// Run talks to Agones until ctx ends and tells seen what the GameServer is like, at once and at every change.
	Run(ctx context.Context, seen func(sidecar.GameServer)) error
	Ping()
	Move(*sidecar.Transition)
	Assert(sidecar.Metadata)
}

// Game is what watches a game server.
type Game interface {
	// Observe tells emit, from one goroutine, what the game does, until ctx ends; then it returns nil. A game that is not
	// there, or gone, is no error.
	Observe(ctx context.Context, emit func(sidecar.Happening)) error
}

// Tick is how often the state machine looks at the clock.
const Tick = 250 * time.Millisecond

// Runner is one sidecar's life.
type Runner struct {
	policy sidecar.Policy
	sdk    SDK
	game   Game
	log    *slog.Logger
	did    func(sidecar.State, sidecar.Action)

	events chan sidecar.Event

	mu       sync.Mutex
	state    sidecar.State
	released chan struct{}
	over     chan struct{}
}

// New makes one. did, if not nil, is told of each action and the state after it, from one goroutine.
func New(p sidecar.Policy, sdk SDK, game Game, log *slog.Logger, did func(sidecar.State, sidecar.Action)) *Runner {
	if did == nil {
		did = func(sidecar.State, sidecar.Action) {}
	}
	return &Runner{
		policy: p, sdk: sdk, game: game, log: log, did: did, events: make(chan sidecar.Event, 64),
		released: make(chan struct{}), over: make(chan struct{}),
	}
}

// Run runs until ctx ends, whatever the game and Agones do, and returns nil; or the error of a game that cannot be observed.
func (r *Runner) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return r.sdk.Run(ctx, func(g sidecar.GameServer) { r.Tell(ctx, sidecar.Seen{GameServer: g}) })
	})
	group.Go(func() error {
		return r.game.Observe(ctx, func(h sidecar.Happening) { r.Tell(ctx, h) })
	})
	group.Go(func() error { r.loop(ctx); return nil })
	return group.Wait()
}

// Tell adds an event of now. It waits while many others do, until ctx ends.
func (r *Runner) Tell(ctx context.Context, h sidecar.Happening) {
	select {
	case r.events <- sidecar.Event{At: time.Now(), What: h}:
	case <-ctx.Done():
	}
}

// Released is closed when a drain is over: what waits for it may let the game end.
func (r *Runner) Released() <-chan struct{} { return r.released }

// Over is closed when nothing is left to do.
func (r *Runner) Over() <-chan struct{} { return r.over }

// State is the latest.
func (r *Runner) State() sidecar.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *Runner) loop(ctx context.Context) {
	tick := time.NewTicker(Tick)
	defer tick.Stop()
	var last time.Time
	for {
		select {
		case e := <-r.events:
			if e.At.Before(last) { // told by two goroutines at once
				e.At = last
			}
			last = e.At
			r.step(e)
		case now := <-tick.C:
			if now.Before(last) {
				now = last
			}
			last = now
			r.step(sidecar.Event{At: now, What: sidecar.Tick{}})
		case <-ctx.Done():
			return
		}
	}
}

func (r *Runner) step(e sidecar.Event) {
	was := r.State()
	next, actions := r.policy.Step(was, e)
	r.mu.Lock()
	r.state = next
	r.mu.Unlock()
	switch {
	case next.Withheld == was.Withheld:
	case next.Withheld != "":
		at, by := next.LastSign()
		r.log.Warn("health is withheld", "reason", next.Withheld, "lastSign", at, "by", string(by))
	default:
		r.log.Info("health is told again", "withheld", was.Withheld)
	}
	for _, a := range actions {
		r.do(a)
		r.did(next, a)
	}
}

func (r *Runner) do(a sidecar.Action) {
	switch x := a.(type) {
	case sidecar.Ping:
		r.sdk.Ping()
	case sidecar.Move:
		r.sdk.Move(x.Transition)
	case sidecar.Assert:
		r.sdk.Assert(x.Metadata)
	case sidecar.Release:
		closeOnce(r.released)
	case sidecar.Enter:
		r.log.Info("phase", "from", string(x.From), "to", string(x.To), "reason", x.Reason, "cutOff", x.CutOff)
		if x.To == sidecar.Over {
			closeOnce(r.over)
		}
	}
}

// closeOnce is called by one goroutine only.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}
