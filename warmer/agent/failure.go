package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/manifest"
)

var (
	errFloor    = errors.New("the disk's floor is reached")
	errUnwanted = errors.New("not wanted any more")
	// errInterrupted ends a transfer; the same bytes come in another way, or later.
	errInterrupted = errors.New("interrupted")
)

// DiskError says that an image does not fit.
type DiskError struct {
	Key  string
	Disk warmer.Disk
}

func (e *DiskError) Error() string {
	return fmt.Sprintf("%s: does not fit: %d bytes are free, of which %d have to stay so", e.Key, e.Disk.Free, e.Disk.Floor)
}

// Waits after failures: those that may pass, and those that only somebody can end.
const (
	shortest, longest           = time.Second, 2 * time.Minute
	shortestHopeless, longestIn = 30 * time.Second, 10 * time.Minute
)

// hopeless says that trying again soon is no use.
func hopeless(err error) bool {
	_, damaged := errors.AsType[*warmer.DigestError](err)
	_, full := errors.AsType[*DiskError](err)
	return damaged || full || errors.Is(err, warmer.ErrNotFound) || errors.Is(err, warmer.ErrDenied) || errors.Is(err, warmer.ErrNotSupported) || errors.Is(err, manifest.ErrInvalid)
}

// backOff is how long an image is left alone after its nth failure in a row.
func backOff(n int, err error) time.Duration {
	wait, most := shortest, longest
	if hopeless(err) {
		wait, most = shortestHopeless, longestIn
	}
	for range n - 1 {
		wait = min(2*wait, most)
	}
	wait = wait*4/5 + rand.N(wait*2/5) // nodes that failed together do not come back together
	if r, ok := errors.AsType[*warmer.RegistryError](err); ok {
		wait = max(wait, r.RetryAfter)
	}
	return wait
}

// failed takes in that something went wrong for an image.
func (l *loop) failed(ctx context.Context, w *wanted, key string, err error) {
	if errors.Is(err, errUnwanted) || errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return
	}
	w.failures++
	w.err, w.failed = err, time.Now()
	w.until = time.Now().Add(backOff(w.failures, err))
	l.agent.o.Log.Warn("image failed", "image", key, "failures", w.failures, "next", time.Until(w.until), "error", err)
}
