package sidecartest

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// limiter is the SDK server's: one change of the GameServer every half second, after a first one at once.
const limiter = 500 * time.Millisecond

// pod is one life of the SDK server: what it has queued dies with it.
type pod struct {
	s    *Server
	dial func(context.Context) (net.Conn, error)
	grpc *grpc.Server

	ctx  context.Context //nolint:containedctx // the life of the process that this stands for
	end  context.CancelFunc
	wait sync.WaitGroup

	// Under the Server's lock.
	queue    []string // kinds of changes that wait, once each
	pending  map[string][]func(*sdk.GameServer)
	woken    chan struct{}
	lastPing time.Time
	reserve  *time.Timer
}

func (s *Server) newPod(dial func(context.Context) (net.Conn, error)) *pod {
	ctx, end := context.WithCancel(context.Background())
	return &pod{s: s, dial: dial, ctx: ctx, end: end, pending: map[string][]func(*sdk.GameServer){}, woken: make(chan struct{}, 1)}
}

func (p *pod) run(l net.Listener) {
	p.wait.Go(func() { _ = p.grpc.Serve(l) }) // ends with stop, and says just that
	p.wait.Go(p.write)
	if !p.s.o.NoProbe {
		p.wait.Go(p.probe)
	}
}

func (p *pod) stop() {
	p.end()
	p.grpc.Stop()
	p.wait.Wait()
}

// enqueue remembers a change; of one kind, all that wait are written at once. It is called with the lock held.
func (p *pod) enqueue(kind string, change func(*sdk.GameServer)) {
	if p.pending[kind] == nil {
		p.queue = append(p.queue, kind)
	}
	p.pending[kind] = append(p.pending[kind], change)
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// write is the SDK server's only worker.
func (p *pod) write() {
	for {
		select {
		case <-p.woken:
		case <-p.ctx.Done():
			return
		}
		for p.writeOne() {
			select {
			case <-time.After(limiter):
			case <-p.ctx.Done():
				return
			}
		}
	}
}

func (p *pod) writeOne() bool {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p.queue) == 0 || p.ctx.Err() != nil {
		return false
	}
	kind := p.queue[0]
	p.queue = p.queue[1:]
	changes := p.pending[kind]
	delete(p.pending, kind)
	if domain(s.object).Over() { // answered with success, and nothing happens
		return true
	}
	if kind == kindState && s.faults.swallow > 0 {
		s.faults.swallow--
		return true
	}
	s.patches++
	s.applyLocked(func(g *sdk.GameServer) {
		for _, change := range changes {
			change(g)
		}
	})
	return true
}

// Kinds of changes, each of which the SDK server writes by itself.
const (
	kindState      = "state"
	kindLabel      = "label"
	kindAnnotation = "annotation"
	kindCounter    = "counter"
	kindList       = "list"
)

// probe is the kubelet asking for /gshealthz, and the health loop that this starts.
func (p *pod) probe() {
	h := p.s.GameServer().Health
	if h.Disabled {
		return
	}
	p.s.mu.Lock()
	p.lastPing = time.Now().Add(h.InitialDelay)
	p.s.mu.Unlock()
	if !p.pause(h.InitialDelay) {
		return
	}
	for failures := int32(0); ; {
		if !p.pause(h.Period) {
			return
		}
		p.s.mu.Lock()
		if time.Since(p.lastPing) <= h.Period {
			failures = 0
		} else {
			failures++
		}
		p.s.mu.Unlock()
		if failures >= h.FailureThreshold {
			p.s.apply(func(g *sdk.GameServer) {
				if !domain(g).Over() {
					g.Status.State = string(sidecar.Unhealthy)
				}
			})
			return
		}
	}
}

func (p *pod) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}
