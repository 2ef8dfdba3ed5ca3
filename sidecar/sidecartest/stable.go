package sidecartest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// stable is the stable half of the SDK.
type stable struct {
	sdk.UnimplementedSDKServer
	s *Server
	p *pod
}

// enter records a call and applies the faults that are switched on.
func (s *Server) enter(ctx context.Context, p *pod, what string) error {
	s.called(what)
	s.mu.Lock()
	hung, fail := s.faults.hung, s.faults.fail > 0
	if fail {
		s.faults.fail--
	}
	s.mu.Unlock()
	if hung != nil {
		select {
		case <-hung:
		case <-ctx.Done():
			return status.FromContextError(context.Canceled).Err()
		case <-p.ctx.Done():
			return status.FromContextError(context.Canceled).Err()
		}
	}
	if fail {
		return unknown("the API server had a bad moment")
	}
	return nil
}

// unknown is the code that the real SDK server's errors have, whatever its documentation promises.
func unknown(format string, args ...any) error {
	return status.Error(codes.Unknown, fmt.Sprintf(format, args...))
}

func (x stable) state(ctx context.Context, what string, to sidecar.AgonesState, more func(*sdk.GameServer)) (*sdk.Empty, error) {
	if err := x.s.enter(ctx, x.p, what); err != nil {
		return nil, err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if x.p.reserve != nil {
		x.p.reserve.Stop()
	}
	x.p.pending[kindState] = nil // the latest wins
	x.p.queue = without(x.p.queue, kindState)
	x.p.enqueue(kindState, func(g *sdk.GameServer) {
		g.Status.State = string(to)
		if more != nil {
			more(g)
		}
	})
	return &sdk.Empty{}, nil
}

func without(queue []string, kind string) []string {
	var out []string
	for _, k := range queue {
		if k != kind {
			out = append(out, k)
		}
	}
	return out
}

func (x stable) Ready(ctx context.Context, _ *sdk.Empty) (*sdk.Empty, error) {
	return x.state(ctx, "Ready", sidecar.RequestReady, nil)
}

func (x stable) Allocate(ctx context.Context, _ *sdk.Empty) (*sdk.Empty, error) {
	return x.state(ctx, "Allocate", sidecar.Allocated, stampAllocated)
}

func stampAllocated(g *sdk.GameServer) {
	g.ObjectMeta.Annotations[sidecar.LastAllocated] = time.Now().UTC().Format(time.RFC3339Nano)
}

func (x stable) Shutdown(ctx context.Context, _ *sdk.Empty) (*sdk.Empty, error) {
	return x.state(ctx, "Shutdown", sidecar.Shutdown, nil)
}

func (x stable) Reserve(ctx context.Context, d *sdk.Duration) (*sdk.Empty, error) {
	answer, err := x.state(ctx, fmt.Sprintf("Reserve %d", d.GetSeconds()), sidecar.Reserved, nil)
	if err == nil && d.GetSeconds() > 0 {
		x.s.mu.Lock()
		defer x.s.mu.Unlock()
		x.p.reserve = x.s.after(time.Duration(d.GetSeconds())*time.Second, func() {
			x.p.enqueue(kindState, func(g *sdk.GameServer) { g.Status.State = string(sidecar.RequestReady) })
		})
	}
	return answer, err
}

func (x stable) Health(stream sdk.SDK_HealthServer) error {
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&sdk.Empty{})
		}
		if err != nil {
			return err
		}
		if _, err := x.ping(stream.Context()); err != nil {
			return err
		}
	}
}

func (x stable) ping(ctx context.Context) (*sdk.Empty, error) {
	if err := x.s.enter(ctx, x.p, "Health"); err != nil {
		return nil, err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.p.lastPing = time.Now()
	return &sdk.Empty{}, nil
}

func (x stable) GetGameServer(ctx context.Context, _ *sdk.Empty) (*sdk.GameServer, error) {
	if err := x.s.enter(ctx, x.p, "GetGameServer"); err != nil {
		return nil, err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.s.object, nil
}

func (x stable) WatchGameServer(_ *sdk.Empty, stream sdk.SDK_WatchGameServerServer) error {
	if err := x.s.enter(stream.Context(), x.p, "WatchGameServer"); err != nil {
		return err
	}
	return x.s.watch(stream.Context(), x.p, stream.Send)
}

// watch sends the GameServer and then every change of it.
func (s *Server) watch(ctx context.Context, p *pod, send func(*sdk.GameServer) error) error {
	updates := make(chan *sdk.GameServer, 1000)
	s.mu.Lock()
	updates <- s.object
	s.watchers[updates] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, updates)
	}()
	for {
		select {
		case g := <-updates:
			if err := send(g); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ctx.Done():
			return status.Error(codes.Unavailable, "the SDK server ends")
		}
	}
}

func (x stable) SetLabel(ctx context.Context, kv *sdk.KeyValue) (*sdk.Empty, error) {
	if err := x.s.enter(ctx, x.p, "SetLabel "+kv.GetKey()+"="+kv.GetValue()); err != nil {
		return nil, err
	}
	if !validKey(kv.GetKey()) || kv.GetValue() != "" && !validKey(kv.GetValue()) {
		return nil, status.Error(codes.InvalidArgument, "a label's key and value consist of at most 63 of a-z, A-Z, 0-9, '-', '_', '.'")
	}
	x.set(kindLabel, func(g *sdk.GameServer) { g.ObjectMeta.Labels[sidecar.SDKPrefix+kv.GetKey()] = kv.GetValue() })
	return &sdk.Empty{}, nil
}

func (x stable) SetAnnotation(ctx context.Context, kv *sdk.KeyValue) (*sdk.Empty, error) {
	if err := x.s.enter(ctx, x.p, "SetAnnotation "+kv.GetKey()+"="+kv.GetValue()); err != nil {
		return nil, err
	}
	if !validKey(kv.GetKey()) {
		return nil, status.Error(codes.InvalidArgument, "an annotation's key consists of at most 63 of a-z, A-Z, 0-9, '-', '_', '.'")
	}
	x.set(kindAnnotation, func(g *sdk.GameServer) { g.ObjectMeta.Annotations[sidecar.SDKPrefix+kv.GetKey()] = kv.GetValue() })
	return &sdk.Empty{}, nil
}

func (x stable) set(kind string, change func(*sdk.GameServer)) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.p.enqueue(kind, change)
}

// validKey is Kubernetes' rule for a label's value; the SDK's prefix leaves a key as much room. Names in the value of a label
// come from games.
func validKey(k string) bool {
	const edge = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if k == "" || len(k) > 63 || !strings.Contains(edge, k[:1]) || !strings.Contains(edge, k[len(k)-1:]) {
		return false
	}
	return strings.Trim(k, edge+"-_.") == ""
}
