package registry

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstWait = 500 * time.Millisecond
	mostWait  = 30 * time.Second
	// mostRetryAfter bounds what a registry can ask for.
	mostRetryAfter = time.Hour
	// patience is the longest wait that a call sits out; beyond it the error says when to come back.
	patience = 2 * time.Minute
)

// gate is the back-off that all transfers of one host share. It closes when a request fails; when its time is over, one
// request is let through, and the others follow once that is answered.
type gate struct {
	ring func() // wakes those that wait, at any gate

	mu      sync.Mutex
	closed  bool
	probing bool
	until   time.Time
	streak  int   // failures in a row
	epoch   int   // failures ever
	last    error // what closed it
}

// turn is one request that was let through. Exactly one of failed and abandoned may follow, also after answered and done.
type turn struct {
	e     *endpoint
	index int // of the endpoint among the candidates
	epoch int
	probe bool
}

// enter lets a request through, or tells how long the gate stays closed: at least, if it is being probed.
func (g *gate) enter() (t turn, wait time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		return turn{epoch: g.epoch}, 0, true
	}
	if wait := time.Until(g.until); wait > 0 {
		return turn{}, wait, false
	}
	if g.probing {
		return turn{}, patience, false
	}
	g.probing = true
	return turn{epoch: g.epoch, probe: true}, 0, true
}

// answered opens the gate: the host works again.
func (g *gate) answered(t turn) {
	g.mu.Lock()
	if t.epoch != g.epoch || !g.closed {
		g.mu.Unlock()
		return
	}
	g.closed, g.probing = false, false
	g.mu.Unlock()
	g.ring()
}

// done ends the row of failures: all that was asked for has come, or enough of it.
func (g *gate) done(t turn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.epoch == g.epoch {
		g.streak = 0
	}
}

// abandoned lets another request probe.
func (g *gate) abandoned(t turn) {
	if !t.probe {
		return
	}
	g.mu.Lock()
	if t.epoch == g.epoch {
		g.probing = false
	}
	g.mu.Unlock()
	g.ring()
}

// failed closes the gate. Requests that were under way together count as one failure.
func (g *gate) failed(t turn, retryAfter time.Duration, err error) {
	g.mu.Lock()
	now := time.Now()
	if t.epoch == g.epoch {
		g.epoch++
		g.closed, g.probing, g.last = true, false, err
		g.until = now.Add(backoff(g.streak))
		g.streak++
		if retryAfter > 0 {
			g.until = now
		}
	}
	if asked := now.Add(retryAfter); g.closed && asked.After(g.until) {
		g.until, g.last = asked, err
	}
	g.mu.Unlock()
	g.ring()
}

func (g *gate) failures() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.streak
}

func (g *gate) lastError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last
}

// backoff is random below a bound that doubles, and at least half of it.
func backoff(streak int) time.Duration {
	bound := min(firstWait<<min(streak, 16), mostWait)
	return bound/2 + rand.N(bound/2) //nolint:gosec // no secret
}
