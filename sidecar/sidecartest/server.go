package sidecartest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/beta"
	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// Options say what the GameServer is like in the beginning.
type Options struct {
	// GameServer is Scheduled unless it says otherwise. Health counts as Agones' defaults where it is zero.
	GameServer sidecar.GameServer
	// ControllerTakes is how long the controller needs from RequestReady to Ready; 20 ms if 0.
	ControllerTakes time.Duration
	// NoProbe leaves out the kubelet's probe, without which the real SDK server never counts missing pings.
	NoProbe bool
	// Log gets a line for every call and every change of state.
	Log *slog.Logger
}

// Server is the whole of it. Its methods are safe for use by several goroutines.
type Server struct {
	o   Options
	log *slog.Logger

	mu       sync.Mutex
	object   *sdk.GameServer // the GameServer in the API server; replaced, never changed
	version  int
	patches  int
	watchers map[chan *sdk.GameServer]bool
	calls    []string
	faults   faults
	pod      *pod // nil while the SDK server is down
	timers   []*time.Timer
	closed   bool
}

type faults struct {
	hung    chan struct{} // closed when calls may go on; nil while they do
	fail    int
	swallow int
}

// New makes a GameServer whose SDK server does not run yet; see [Server.Start] and [Server.ServeOn].
func New(o Options) *Server {
	g := &o.GameServer
	g.Name, g.Namespace, g.UID = or(g.Name, "stk-0"), or(g.Namespace, "default"), or(g.UID, "00000000-0000-4000-8000-000000000001")
	g.State = or(g.State, sidecar.Scheduled)
	g.Health.Period, g.Health.FailureThreshold = or(g.Health.Period, 5*time.Second), or(g.Health.FailureThreshold, 3)
	g.Health.InitialDelay = or(g.Health.InitialDelay, 5*time.Second)
	g.Address = or(g.Address, "127.0.0.1")
	o.ControllerTakes = or(o.ControllerTakes, 20*time.Millisecond)
	s := &Server{o: o, log: o.Log, watchers: map[chan *sdk.GameServer]bool{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.object = message(*g)
	return s
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Start starts the SDK server where [Server.Dial] reaches it.
func (s *Server) Start() {
	l := bufconn.Listen(1 << 16)
	s.serve(l, func(ctx context.Context) (net.Conn, error) { return l.DialContext(ctx) })
}

// ServeOn starts the SDK server on a listener, which it closes in the end.
func (s *Server) ServeOn(l net.Listener) {
	var d net.Dialer
	s.serve(l, func(ctx context.Context) (net.Conn, error) {
		return d.DialContext(ctx, l.Addr().Network(), l.Addr().String())
	})
}

func (s *Server) serve(l net.Listener, dial func(context.Context) (net.Conn, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pod != nil || s.closed {
		panic("sidecartest: the SDK server runs already, or was closed for good")
	}
	s.pod = s.newPod(dial)
	s.pod.grpc = grpc.NewServer()
	sdk.RegisterSDKServer(s.pod.grpc, stable{s: s, p: s.pod})
	beta.RegisterSDKServer(s.pod.grpc, lists{s: s, p: s.pod})
	s.pod.run(l)
}

// ErrDown is what Dial returns while there is no SDK server.
var ErrDown = errors.New("connection refused: the SDK server is down")

// Dial connects to the SDK server that runs now, whatever the address.
func (s *Server) Dial(ctx context.Context, _ string) (net.Conn, error) {
	s.mu.Lock()
	p := s.pod
	s.mu.Unlock()
	if p == nil {
		return nil, ErrDown
	}
	return p.dial(ctx)
}

// Stop kills the SDK server: streams break, and what it had not yet written is lost. The GameServer stays.
func (s *Server) Stop() {
	s.mu.Lock()
	p := s.pod
	s.pod = nil
	s.mu.Unlock()
	if p != nil {
		p.stop()
	}
}

// Close ends everything and waits for it.
func (s *Server) Close() {
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, t := range s.timers {
		t.Stop()
	}
}

// GameServer is what the API server holds now.
func (s *Server) GameServer() sidecar.GameServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return domain(s.object)
}

// Calls returns what the SDK server was asked, in order, a line each: "Ready", "SetLabel players=3",
// "AddListValue players p1". Pings are "Health".
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Patches counts how often the SDK server changed the GameServer.
func (s *Server) Patches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.patches
}

func (s *Server) called(what string) {
	s.mu.Lock()
	s.calls = append(s.calls, what)
	s.mu.Unlock()
	s.log.Info("SDK call", "call", what)
}

// apply changes the GameServer and tells all watchers. It holds the lock while change runs.
func (s *Server) apply(change func(*sdk.GameServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applyLocked(change)
}

func (s *Server) applyLocked(change func(*sdk.GameServer)) {
	before := s.object.GetStatus().GetState()
	next := thaw(s.object)
	change(next)
	if proto.Equal(next, s.object) {
		return
	}
	s.version++
	next.ObjectMeta.ResourceVersion = itoa(s.version)
	s.object = next
	for w := range s.watchers {
		select {
		case w <- next:
		default: // a watcher that far behind is as good as gone, and an informer would leave updates out, too
		}
	}
	if after := next.GetStatus().GetState(); after != before {
		s.log.Info("GameServer changed", "from", before, "to", after)
		if sidecar.AgonesState(after) == sidecar.RequestReady {
			s.after(s.o.ControllerTakes, s.controllerReady)
		}
	}
}

// after runs f later, unless the server is closed by then. It is called with the lock held.
func (s *Server) after(d time.Duration, f func()) *time.Timer {
	t := time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			f()
		}
	})
	s.timers = append(s.timers, t)
	return t
}

func (s *Server) controllerReady() {
	s.applyLocked(func(g *sdk.GameServer) {
		if g.Status.State == string(sidecar.RequestReady) && g.ObjectMeta.DeletionTimestamp <= 0 {
			g.Status.State = string(sidecar.Ready)
		}
	})
}
