package registry

import (
	"context"
	"sync"
	"time"
)

// burst is how much of a second's bytes may be saved up while nobody takes any.
const burst = 20 * time.Millisecond

// bucket is a token bucket of bytes, whose rate may change at any time. Who takes more than there is leaves a debt, for which the
// next waits: what is taken is small compared to the rate, or else the rate is so low that nothing smoother can be had.
type bucket struct {
	mu      sync.Mutex
	rate    float64 // bytes per second; 0 means no limit
	tokens  float64
	filled  time.Time
	changed chan struct{} // closed when the rate changes
}

func newBucket() *bucket { return &bucket{changed: make(chan struct{})} }

func (b *bucket) set(bytesPerSecond int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill()
	if b.rate == 0 {
		b.tokens = 0
	}
	b.rate = float64(max(0, bytesPerSecond))
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *bucket) fill() {
	now := time.Now()
	b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*b.rate, burst.Seconds()*b.rate)
	b.filled = now
}

// take waits until n bytes may have been moved, and tells how long that was. It fails only if ctx ends.
func (b *bucket) take(ctx context.Context, n int) (waited time.Duration, err error) {
	begin := time.Now()
	for {
		wait, changed := b.try(n)
		if wait == 0 {
			return time.Since(begin), nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		}
		timer.Stop()
		if err != nil {
			return time.Since(begin), err //nolint:wrapcheck // the caller's own
		}
	}
}

// try takes n bytes, or tells how long there will be none.
func (b *bucket) try(n int) (wait time.Duration, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return 0, nil
	}
	b.fill()
	if b.tokens >= 0 {
		b.tokens -= float64(n)
		return 0, nil
	}
	// A nanosecond more than it takes, lest rounding make the next try come to early.
	return time.Duration(-b.tokens/b.rate*float64(time.Second)) + 1, b.changed
}
