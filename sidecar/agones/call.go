package agones

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/status"
)

// call makes one unary call with a deadline.
func (c *Client) call(ctx context.Context, rpc string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	start := time.Now()
	err := do(ctx)
	c.o.Called(rpc, status.Code(err).String(), time.Since(start))
	return err
}

// pauses grow from a tenth of a second to five, with jitter, until reset.
type pauses struct{ n int }

func (p *pauses) reset() { p.n = 0 }

func (p *pauses) next() time.Duration {
	d := min(100*time.Millisecond<<min(p.n, 6), 5*time.Second)
	p.n++
	return d/2 + rand.N(d/2)
}

// wait returns false if ctx ended.
func (p *pauses) wait(ctx context.Context) bool { return sleep(ctx, p.next(), nil) }

// sleep returns early when wake is closed, and false if ctx ended.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
		return false
	}
	return ctx.Err() == nil
}
