package registry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// headway is so much content that a failure after it is the first of its kind again.
const headway = 64 << 10

// attempts is what one call, with all its ranges, has tried on the hosts that can serve it.
type attempts struct {
	c   *Client
	ref Reference

	mu    sync.Mutex
	hosts []candidate
}

// candidate is a host and how it did.
type candidate struct {
	e       *endpoint
	began   int   // the length of the host's row of failures when this began, or a shorter one since
	tries   int   // failures here since the last headway
	arrived int64 // bytes since the last failure
	dead    *failure
}

func (c *Client) attempts(ref Reference, hosts []*endpoint) *attempts {
	a := &attempts{c: c, ref: ref}
	for _, e := range hosts {
		a.hosts = append(a.hosts, candidate{e: e, began: e.gate.failures()})
	}
	return a
}

// next waits for a host that may be asked. The error is the last host's once all of them are dead, or the context's.
func (a *attempts) next(ctx context.Context) (turn, error) {
	for {
		woken := a.c.bell.Wait()
		t, wait, err := a.pick()
		if err != nil || wait == 0 {
			return t, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-woken:
		case <-ctx.Done():
			err = ctx.Err()
		}
		timer.Stop()
		if err != nil {
			return turn{}, err //nolint:wrapcheck // the caller's own
		}
	}
}

// pick takes the first host whose gate is open, or tells how long all are closed.
func (a *attempts) pick() (t turn, wait time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.hosts {
		h := &a.hosts[i]
		if a.given(h) {
			continue
		}
		t, w, ok := h.e.gate.enter()
		if ok {
			t.e, t.index = h.e, i
			return t, 0, nil
		}
		if w > patience {
			h.dead = tooLong(h.e.gate.lastError(), w)
			continue
		}
		if wait == 0 || w < wait {
			wait = w
		}
	}
	if wait == 0 {
		return turn{}, 0, a.verdict()
	}
	return turn{}, wait, nil
}

// given says whether the host is given up. Failures of other calls on it count, too: waiting for those was an attempt.
func (a *attempts) given(h *candidate) bool {
	if h.dead != nil {
		return true
	}
	row := h.e.gate.failures()
	h.began = min(h.began, row)
	if row-h.began >= a.c.o.Attempts {
		last := classify(h.e.gate.lastError())
		h.dead = &failure{status: last.status, retryAfter: last.retryAfter, reason: last.reason, err: fmt.Errorf("gave up after %d attempts: %w", a.c.o.Attempts, last.err)}
	}
	return h.dead != nil
}

func tooLong(last error, wait time.Duration) *failure {
	f := *classify(last)
	f.retryAfter = wait
	return &f
}

func (a *attempts) verdict() error {
	if len(a.hosts) == 0 {
		return &warmer.RegistryError{Ref: a.ref.String(), Registry: a.ref.Registry, Err: fmt.Errorf("%w: no configured host may be asked for this", warmer.ErrNotSupported)}
	}
	last := a.hosts[len(a.hosts)-1]
	return registryError(a.ref, last.e, last.dead)
}

// failed notes an attempt's failure. The error, if any, is the context's: there is no next attempt.
func (a *attempts) failed(ctx context.Context, t turn, err error) error {
	if ctx.Err() != nil {
		t.e.gate.abandoned(t)
		return ctx.Err() //nolint:wrapcheck // the caller's own
	}
	f := classify(err)
	a.c.o.Log.Debug("request failed", "ref", a.ref.String(), "registry", t.e.host.Name, "reason", f.reason, "final", f.final, "err", f.err)
	if f.final {
		t.e.gate.answered(t)
		a.give(t.index, f)
		return nil
	}
	t.e.gate.failed(t, f.retryAfter, f)
	a.mu.Lock()
	h := &a.hosts[t.index]
	h.arrived = 0
	h.tries++
	if h.tries >= a.c.o.Attempts && h.dead == nil {
		h.dead = &failure{status: f.status, retryAfter: f.retryAfter, reason: f.reason, err: fmt.Errorf("gave up after %d attempts: %w", h.tries, f.err)}
	}
	a.mu.Unlock()
	a.c.o.Retried(t.e.host.Name, f.reason)
	return nil
}

func (a *attempts) give(index int, f *failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hosts[index].dead = f
}

// arrived notes content.
func (a *attempts) arrived(t turn, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := &a.hosts[t.index]
	if h.arrived += int64(n); h.arrived >= headway {
		h.tries = 0
		t.e.gate.done(t)
	}
}

// do makes attempts until one succeeds.
func (a *attempts) do(ctx context.Context, try func(*endpoint) error) error {
	for {
		t, err := a.next(ctx)
		if err != nil {
			return err
		}
		err = try(t.e)
		if err == nil {
			t.e.gate.answered(t)
			t.e.gate.done(t)
			return nil
		}
		if err := a.failed(ctx, t, err); err != nil {
			return err
		}
	}
}
