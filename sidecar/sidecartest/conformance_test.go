package sidecartest_test

import (
	"context"
	"flag"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/beta"
	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/sidecartest"
)

// sdkAddress makes the conformance test speak to another SDK server:
//
//	go test ./sidecar/sidecartest -run Conforms -sdk-address localhost:9357
//
// Its GameServer has to be Scheduled, in a fleet that declares the list players with a capacity of 2 to 8 and nothing in it, and the
// counter races with a capacity of 10 or more. It is shut down in the end.
var sdkAddress = flag.String("sdk-address", "", "HOST:PORT of the SDK server that the conformance test speaks to, instead of those in memory")

func TestTheServerInMemoryConforms(t *testing.T) {
	if *sdkAddress != "" {
		t.Run(*sdkAddress, func(t *testing.T) { conforms(t, *sdkAddress, nil) })
		return
	}
	t.Run("in a bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := sidecartest.New(conformingFleet)
			defer s.Close()
			s.Start()
			conforms(t, "sdk:9357", s.Dial)
		})
	})
	t.Run("on a port", func(t *testing.T) {
		s := sidecartest.New(conformingFleet)
		defer s.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.ServeOn(l)
		conforms(t, l.Addr().String(), nil)
	})
}

var conformingFleet = sidecartest.Options{GameServer: sidecar.GameServer{
	Lists:    map[string]sidecar.List{"players": {Capacity: 3}},
	Counters: map[string]sidecar.Counter{"races": {Capacity: 10}},
}}

// subject is an SDK server under test.
type subject struct {
	*testing.T
	ctx    context.Context //nolint:containedctx // of one test
	sdk    sdk.SDKClient
	beta   beta.SDKClient
	health grpc.ClientStreamingClient[sdk.Empty, sdk.Empty]
	watch  chan *sdk.GameServer
}

// conforms holds an SDK server to what a sidecar relies on, as Agones 1.57 to 1.61 do it.
func conforms(t *testing.T, address string, dial func(context.Context, string) (net.Conn, error)) {
	t.Helper()
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if dial != nil {
		options = append(options, grpc.WithContextDialer(dial))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	s := &subject{T: t, ctx: ctx, sdk: sdk.NewSDKClient(conn), beta: beta.NewSDKClient(conn), watch: make(chan *sdk.GameServer, 1000)}
	done := make(chan struct{})
	go s.keepWatching(done)
	defer func() {
		cancel()
		conn.Close()
		<-done
	}()
	if s.health, err = s.sdk.Health(ctx); err != nil {
		t.Fatal(err)
	}
	s.theWatchBeginsWithWhatIs()
	s.readyIsQueuedAndThenSeen()
	s.metadataHaveAPrefix()
	s.listsHoldUniqueValues()
	s.countersStayInRange()
	s.allocationsAreStamped()
	s.readyTakesBackAnAllocation()
	s.reservationsEnd()
	s.afterTheEndNothingChanges()
}

func (s *subject) keepWatching(done chan<- struct{}) {
	defer close(done)
	stream, err := s.sdk.WatchGameServer(s.ctx, &sdk.Empty{})
	for err == nil {
		var g *sdk.GameServer
		if g, err = stream.Recv(); err == nil {
			s.watch <- g
		}
	}
}

// until pings and waits for the watch to show something.
func (s *subject) until(what string, ok func(*sdk.GameServer) bool) *sdk.GameServer {
	s.Helper()
	s.ping()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case g := <-s.watch:
			if ok(g) {
				return g
			}
		case <-tick.C:
			s.ping()
		case <-deadline:
			s.Fatalf("the watch does not show within 20 s: %s", what)
		}
	}
}

func (s *subject) ping() {
	s.Helper()
	if err := s.health.Send(&sdk.Empty{}); err != nil {
		s.Fatalf("a ping: %v", err)
	}
}

func (s *subject) untilState(want sidecar.AgonesState) *sdk.GameServer {
	s.Helper()
	return s.until("state "+string(want), func(g *sdk.GameServer) bool { return g.GetStatus().GetState() == string(want) })
}

// fine fails on an error of a call.
func (s *subject) fine(call string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", call, err)
	}
}

// refused wants the code that the server's errors have.
func (s *subject) refused(call string, err error, want codes.Code) {
	s.Helper()
	if status.Code(err) != want {
		s.Errorf("%s: %v, want the code %s", call, err, want)
	}
}

func (s *subject) theWatchBeginsWithWhatIs() {
	s.Helper()
	first := s.until("the GameServer as it is", func(*sdk.GameServer) bool { return true })
	g, err := s.sdk.GetGameServer(s.ctx, &sdk.Empty{})
	s.fine("GetGameServer", err)
	if g.GetObjectMeta().GetName() == "" || g.GetObjectMeta().GetName() != first.GetObjectMeta().GetName() {
		s.Errorf("GetGameServer and the watch name different servers: %v, %v", g, first)
	}
	if g.GetStatus().GetState() != string(sidecar.Scheduled) {
		s.Fatalf("state = %s; this test begins with a GameServer that is Scheduled", g.GetStatus().GetState())
	}
	if c := g.GetStatus().GetLists()["players"].GetCapacity(); c < 2 || c > 8 {
		s.Fatalf("the list players has a capacity of %d; this test needs 2 to 8", c)
	}
	if c := g.GetStatus().GetCounters()["races"].GetCapacity(); c < 10 {
		s.Fatalf("the counter races has a capacity of %d; this test needs 10", c)
	}
}

func (s *subject) readyIsQueuedAndThenSeen() {
	s.Helper()
	_, err := s.sdk.Ready(s.ctx, &sdk.Empty{})
	s.fine("Ready", err)
	s.untilState(sidecar.Ready)
}

func (s *subject) metadataHaveAPrefix() {
	s.Helper()
	_, err := s.sdk.SetLabel(s.ctx, &sdk.KeyValue{Key: "mode", Value: "race"})
	s.fine("SetLabel", err)
	_, err = s.sdk.SetAnnotation(s.ctx, &sdk.KeyValue{Key: "note", Value: "any text: {\"a\": 1}\n"})
	s.fine("SetAnnotation", err)
	s.until("label and annotation", func(g *sdk.GameServer) bool {
		m := g.GetObjectMeta()
		return m.GetLabels()["agones.dev/sdk-mode"] == "race" && m.GetAnnotations()["agones.dev/sdk-note"] == "any text: {\"a\": 1}\n"
	})
	for _, bad := range []*sdk.KeyValue{{Key: "mode", Value: "two words"}, {Key: "two words", Value: "x"}, {Key: "", Value: "x"}} {
		_, err = s.sdk.SetLabel(s.ctx, bad)
		s.refused("SetLabel "+bad.String(), err, codes.InvalidArgument)
	}
	_, err = s.sdk.SetAnnotation(s.ctx, &sdk.KeyValue{Key: "two words", Value: "x"})
	s.refused("SetAnnotation of a bad key", err, codes.InvalidArgument)
}

func (s *subject) listsHoldUniqueValues() {
	s.Helper()
	add := func(value string) error {
		_, err := s.beta.AddListValue(s.ctx, &beta.AddListValueRequest{Name: "players", Value: value})
		return err
	}
	s.fine("AddListValue a", add("a"))
	s.refused("AddListValue a again", add("a"), codes.Unknown)
	l, err := s.beta.GetList(s.ctx, &beta.GetListRequest{Name: "players"})
	if s.fine("GetList", err); !slices.Equal(l.GetValues(), []string{"a"}) {
		s.Errorf("GetList = %v, want what is still on its way, too", l)
	}
	for i := int64(1); i < l.GetCapacity(); i++ {
		s.fine("AddListValue", add(string(rune('a'+i))))
	}
	s.refused("AddListValue beyond the capacity", add("z"), codes.Unknown)
	s.until("a full list", func(g *sdk.GameServer) bool {
		is := g.GetStatus().GetLists()["players"]
		return int64(len(is.GetValues())) == is.GetCapacity()
	})
	_, err = s.beta.RemoveListValue(s.ctx, &beta.RemoveListValueRequest{Name: "players", Value: "z"})
	s.refused("RemoveListValue of what is not there", err, codes.Unknown)
	for i := range l.GetCapacity() {
		_, err = s.beta.RemoveListValue(s.ctx, &beta.RemoveListValueRequest{Name: "players", Value: string(rune('a' + i))})
		s.fine("RemoveListValue", err)
	}
	s.until("an empty list", func(g *sdk.GameServer) bool { return len(g.GetStatus().GetLists()["players"].GetValues()) == 0 })
	_, err = s.beta.AddListValue(s.ctx, &beta.AddListValueRequest{Name: "nothing", Value: "a"})
	s.refused("AddListValue of a list that is not declared", err, codes.Unknown)
	_, err = s.beta.GetList(s.ctx, &beta.GetListRequest{Name: "nothing"})
	s.refused("GetList of a list that is not declared", err, codes.Unknown)
}

func (s *subject) countersStayInRange() {
	s.Helper()
	update := func(u *beta.CounterUpdateRequest) error {
		u.Name = "races"
		_, err := s.beta.UpdateCounter(s.ctx, &beta.UpdateCounterRequest{CounterUpdateRequest: u})
		return err
	}
	s.fine("UpdateCounter to 7", update(&beta.CounterUpdateRequest{Count: wrapperspb.Int64(7)}))
	s.fine("UpdateCounter by -2", update(&beta.CounterUpdateRequest{CountDiff: -2}))
	c, err := s.beta.GetCounter(s.ctx, &beta.GetCounterRequest{Name: "races"})
	if s.fine("GetCounter", err); c.GetCount() != 5 {
		s.Errorf("GetCounter = %v, want 5, which is still on its way", c)
	}
	s.until("5 races", func(g *sdk.GameServer) bool { return g.GetStatus().GetCounters()["races"].GetCount() == 5 })
	s.refused("UpdateCounter below 0", update(&beta.CounterUpdateRequest{CountDiff: -6}), codes.Unknown)
	s.refused("UpdateCounter beyond the capacity", update(&beta.CounterUpdateRequest{Count: wrapperspb.Int64(c.GetCapacity() + 1)}), codes.Unknown)
	_, err = s.beta.GetCounter(s.ctx, &beta.GetCounterRequest{Name: "nothing"})
	s.refused("GetCounter of one that is not declared", err, codes.Unknown)
}

func (s *subject) allocationsAreStamped() {
	s.Helper()
	_, err := s.sdk.Allocate(s.ctx, &sdk.Empty{})
	s.fine("Allocate", err)
	g := s.untilState(sidecar.Allocated)
	stamp := g.GetObjectMeta().GetAnnotations()[sidecar.LastAllocated]
	if _, err := time.Parse(time.RFC3339, stamp); err != nil {
		s.Errorf("annotation %s = %q: %v", sidecar.LastAllocated, stamp, err)
	}
}

// A sidecar must not call Ready of an allocated server: this is what would happen.
func (s *subject) readyTakesBackAnAllocation() {
	s.Helper()
	_, err := s.sdk.Ready(s.ctx, &sdk.Empty{})
	s.fine("Ready", err)
	s.untilState(sidecar.Ready)
}

func (s *subject) reservationsEnd() {
	s.Helper()
	_, err := s.sdk.Reserve(s.ctx, &sdk.Duration{Seconds: 2})
	s.fine("Reserve", err)
	s.untilState(sidecar.Reserved)
	s.untilState(sidecar.Ready)
}

func (s *subject) afterTheEndNothingChanges() {
	s.Helper()
	_, err := s.sdk.Shutdown(s.ctx, &sdk.Empty{})
	s.fine("Shutdown", err)
	s.untilState(sidecar.Shutdown)
	_, err = s.sdk.Ready(s.ctx, &sdk.Empty{})
	s.fine("Ready after Shutdown, which is answered and ignored", err)
	quiet := time.NewTimer(3 * time.Second)
	defer quiet.Stop()
	for {
		select {
		case g := <-s.watch:
			if state := g.GetStatus().GetState(); state != string(sidecar.Shutdown) {
				s.Errorf("state = %s after Shutdown", state)
			}
		case <-quiet.C:
			return
		}
	}
}
