package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Result is what a pull did for one image.
type Result struct {
	Ref    string
	Digest warmer.Digest
	// Pulled came from the registry, Reused was there.
	Pulled, Reused int64
	Took           time.Duration
	AlreadyWarm    bool
	Err            error
}

// Pull makes images warm and returns when each of them is, or has failed for good: with an error that trying again does not
// change, or too often in a row ([Options.Attempts]). It removes nothing.
func (a *Agent) Pull(ctx context.Context, wants ...warmer.Want) ([]Result, error) {
	began := time.Now()
	wants = warmer.Normalize(wants)
	took := map[string]time.Duration{}
	err := a.run(ctx, Static(wants), false, func() bool {
		s := a.Status()
		if len(s.Images) < len(wants) {
			return false
		}
		settled := true
		for _, i := range s.Images {
			if !a.settled(i, s.Running) {
				settled = false
			} else if took[i.Key] == 0 {
				took[i.Key] = time.Since(began)
			}
		}
		return settled
	})
	var out []Result
	for _, i := range a.Status().Images {
		r := Result{Ref: i.Ref, Digest: i.Digest, Pulled: i.Fetched, Reused: max(0, i.Wanted-i.Fetched), Took: took[i.Key], AlreadyWarm: i.Found && i.State == Warm}
		if i.State != Warm {
			r.Err = cause(ctx, i)
			r.Reused = 0
		}
		out = append(out, r)
	}
	if err == nil {
		err = ctx.Err()
	}
	return out, err
}

func (a *Agent) settled(i ImageStatus, running int) bool {
	return i.State == Warm || i.State == Failed && (hopeless(i.Err) || i.Failures >= a.o.Attempts) || i.Why == warmer.DiskFull && running == 0
}

func cause(ctx context.Context, i ImageStatus) error {
	switch {
	case i.Err != nil:
		return i.Err
	case ctx.Err() != nil:
		return fmt.Errorf("pull %s: %w", i.Ref, ctx.Err())
	}
	return fmt.Errorf("pull %s: %w", i.Ref, errors.New("not finished"))
}
