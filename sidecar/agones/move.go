package agones

import (
	"context"
	"slices"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// verdict is what a GameServer's state means for a transition.
type verdict int

const (
	due     verdict = iota // ask for it
	pending                // it was asked for and Agones is at it
	done                   // the GameServer is there
	moot                   // somebody else was faster, or the GameServer is over
)

// judge looks at a GameServer as it is now.
func judge(t sidecar.Transition, g sidecar.GameServer) verdict {
	switch {
	case g.State == t.To:
		return done
	case g.Over():
		return moot
	case t.To == sidecar.Ready && g.State == sidecar.RequestReady:
		return pending
	case len(t.From) > 0 && !slices.Contains(t.From, g.State):
		return moot
	case g.State == sidecar.Allocated && len(t.From) > 0 && g.LastAllocated() != t.LastAllocated:
		return moot
	}
	return due
}

// move works on the latest transition that was asked for.
func (c *Client) move(ctx context.Context) {
	var settled *sidecar.Transition
	for {
		v := c.view()
		if v.wanted != nil && v.wanted != settled {
			if c.perform(ctx, v.wanted) {
				settled = v.wanted
			}
		}
		if now := c.view(); now.wanted == nil || now.wanted == settled {
			select {
			case <-now.changed:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// perform asks until the transition is done or moot. It returns false when another one is wanted, or ctx ended.
func (c *Client) perform(ctx context.Context, t *sidecar.Transition) bool {
	log := c.o.Log.With("to", string(t.To))
	var p pauses
	for c.view().wanted == t {
		g, err := c.current(ctx)
		if err == nil {
			switch judge(*t, g) {
			case done:
				log.Info("transition confirmed")
				return true
			case moot:
				log.Info("transition is moot", "state", string(g.State), "deleting", g.Deleting)
				return true
			case pending:
				c.confirm(ctx, t)
				continue
			case due:
				if err = c.ask(ctx, *t); err == nil {
					if p.n > 0 {
						log.Warn("transition asked for again", "state", string(g.State))
					}
					c.confirm(ctx, t)
				}
			}
		}
		if err != nil {
			log.Warn("transition failed, trying again", "error", err)
		}
		if !p.wait(ctx) {
			return false
		}
	}
	return false
}

// current asks the SDK server, whatever the watch last said: a transition must not be based on old news.
func (c *Client) current(ctx context.Context) (g sidecar.GameServer, err error) {
	err = c.call(ctx, "GetGameServer", func(ctx context.Context) error {
		answer, err := c.sdk.GetGameServer(ctx, &sdk.Empty{})
		if err == nil {
			g = gameServer(answer)
		}
		return err
	})
	return g, err
}

func (c *Client) ask(ctx context.Context, t sidecar.Transition) error {
	return c.call(ctx, string(t.To), func(ctx context.Context) (err error) {
		switch t.To {
		case sidecar.Ready:
			_, err = c.sdk.Ready(ctx, &sdk.Empty{})
		case sidecar.Allocated:
			_, err = c.sdk.Allocate(ctx, &sdk.Empty{})
		case sidecar.Reserved:
			_, err = c.sdk.Reserve(ctx, &sdk.Duration{Seconds: int64(t.For / time.Second)})
		case sidecar.Shutdown:
			_, err = c.sdk.Shutdown(ctx, &sdk.Empty{})
		default:
			panic("no call leads to " + string(t.To))
		}
		return err
	})
}

// confirm waits until the watch shows that there is nothing left to ask for, something else is wanted, or the time for it is over.
func (c *Client) confirm(ctx context.Context, t *sidecar.Transition) {
	ctx, cancel := context.WithTimeout(ctx, confirmWithin)
	defer cancel()
	for {
		v := c.view()
		if v.wanted != t {
			return
		}
		if v.seen != nil && v.watching {
			if j := judge(*t, *v.seen); j == done || j == moot && v.seen.Over() {
				return
			}
		}
		select {
		case <-v.changed:
		case <-ctx.Done():
			return
		}
	}
}
