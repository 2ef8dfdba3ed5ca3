package agones

import (
	"context"
	"time"

	"google.golang.org/grpc/status"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// watch keeps a watch stream open.
func (c *Client) watch(ctx context.Context, seen func(sidecar.GameServer)) {
	var p pauses
	for first := true; ; first = false {
		if !first {
			c.o.Reopened("watch")
		}
		err := c.watchOnce(ctx, func(g sidecar.GameServer) {
			p.reset()
			seen(g)
		})
		if ctx.Err() != nil {
			return
		}
		c.change(func() { c.watching = false })
		if p.n == 0 || p.n%8 == 7 { // not a line per attempt of a server that stays away
			c.o.Log.Warn("the watch of the SDK server ended, opening it again", "error", err)
		}
		if !p.wait(ctx) {
			return
		}
	}
}

func (c *Client) watchOnce(ctx context.Context, seen func(sidecar.GameServer)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	// A server that accepts a connection and says nothing is as good as none.
	silence := time.AfterFunc(callDeadline, cancel)
	defer silence.Stop()
	stream, err := c.sdk.WatchGameServer(ctx, &sdk.Empty{})
	for first := true; err == nil; first = false {
		var g *sdk.GameServer
		if g, err = stream.Recv(); err != nil {
			break
		}
		silence.Stop()
		c.saw(gameServer(g), first)
		seen(gameServer(g))
	}
	c.o.Called("WatchGameServer", status.Code(err).String(), time.Since(start))
	return err
}

func (c *Client) saw(g sidecar.GameServer, first bool) {
	c.change(func() {
		c.seen, c.watching = &g, true
		if first {
			c.reopened++
		}
	})
}

// gameServer leaves out what nobody asks for.
func gameServer(g *sdk.GameServer) sidecar.GameServer {
	meta, st, h := g.GetObjectMeta(), g.GetStatus(), g.GetSpec().GetHealth()
	out := sidecar.GameServer{
		Name: meta.GetName(), Namespace: meta.GetNamespace(), UID: meta.GetUid(),
		State: sidecar.AgonesState(st.GetState()), Deleting: meta.GetDeletionTimestamp() > 0,
		Labels: meta.GetLabels(), Annotations: meta.GetAnnotations(), Address: st.GetAddress(),
		Counters: map[string]sidecar.Counter{}, Lists: map[string]sidecar.List{},
		Health: sidecar.HealthSettings{
			Disabled: h.GetDisabled(), Period: seconds(h.GetPeriodSeconds()),
			FailureThreshold: h.GetFailureThreshold(), InitialDelay: seconds(h.GetInitialDelaySeconds()),
		},
	}
	for name, n := range st.GetCounters() {
		out.Counters[name] = sidecar.Counter{Count: n.GetCount(), Capacity: n.GetCapacity()}
	}
	for name, l := range st.GetLists() {
		out.Lists[name] = sidecar.List{Capacity: l.GetCapacity(), Values: l.GetValues()}
	}
	for _, p := range st.GetPorts() {
		out.Ports = append(out.Ports, sidecar.Port{Name: p.GetName(), Port: p.GetPort()})
	}
	return out
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
