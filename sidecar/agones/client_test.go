package agones_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/agones"
	"github.com/pitcrew-dev/pitcrew/sidecar/sidecartest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a client of a server in memory, in a bubble.
type rig struct {
	t *testing.T
	*sidecartest.Server
	client *agones.Client

	mu       sync.Mutex
	seen     []sidecar.GameServer
	reopened []string
	codes    []string
}

// inBubble runs f with a client that runs; the SDK server is started by f.
func inBubble(t *testing.T, o sidecartest.Options, f func(r *rig)) {
	t.Helper()
	o.NoProbe = o.GameServer.Health == sidecar.HealthSettings{} // else pings are due
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, Server: sidecartest.New(o)}
		defer r.Close()
		var err error
		r.client, err = agones.New("sdk:9357", agones.Options{
			Dial: r.Dial,
			Called: func(rpc, code string, _ time.Duration) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.codes = append(r.codes, rpc+" "+code)
			},
			Reopened: func(stream string) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.reopened = append(r.reopened, stream)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- r.client.Run(ctx, func(g sidecar.GameServer) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.seen = append(r.seen, g)
			})
		}()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run() = %v, want nil when its context ends", err)
			}
		}()
		f(r)
	})
}

func (r *rig) count(call string) int {
	n := 0
	for _, c := range r.Calls() {
		if c == call || strings.HasPrefix(c, call+" ") {
			n++
		}
	}
	return n
}

func (r *rig) states() []sidecar.AgonesState {
	r.mu.Lock()
	defer r.mu.Unlock()
	var states []sidecar.AgonesState
	for _, g := range r.seen {
		states = append(states, g.State)
	}
	return slices.Compact(states)
}

// wait lets fake time pass.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var ready = &sidecar.Transition{To: sidecar.Ready, From: []sidecar.AgonesState{sidecar.Starting, sidecar.Scheduled}}

func TestATransitionIsConfirmedOnTheWatch(t *testing.T) {
	inBubble(t, sidecartest.Options{}, func(r *rig) {
		t := r.t
		r.Start()
		wait(time.Minute) // the watch is open before anything changes
		r.client.Move(ready)
		wait(time.Minute)
		want := []sidecar.AgonesState{sidecar.Scheduled, sidecar.RequestReady, sidecar.Ready}
		if got := r.states(); !slices.Equal(got, want) {
			t.Errorf("states seen = %v, want %v", got, want)
		}
		if n := r.count("Ready"); n != 1 {
			t.Errorf("Ready was called %d times, want once", n)
		}
	})
}

func TestAServerThatAppearsLateIsWaitedFor(t *testing.T) {
	inBubble(t, sidecartest.Options{}, func(r *rig) {
		t := r.t
		r.client.Move(ready)
		wait(10 * time.Minute)
		r.Start()
		wait(10 * time.Second)
		if got := r.GameServer().State; got != sidecar.Ready {
			t.Errorf("state = %s, want Ready", got)
		}
	})
}

func TestASwallowedTransitionIsRepeated(t *testing.T) {
	inBubble(t, sidecartest.Options{}, func(r *rig) {
		t := r.t
		r.Start()
		r.Swallow(2)
		r.client.Move(ready)
		wait(time.Minute)
		if got := r.GameServer().State; got != sidecar.Ready || r.count("Ready") != 3 {
			t.Errorf("state = %s after %d calls of Ready, want Ready after 3", got, r.count("Ready"))
		}
	})
}

func TestReadyIsNotRepeatedToAServerThatWasAllocatedMeanwhile(t *testing.T) {
	inBubble(t, sidecartest.Options{}, func(r *rig) {
		t := r.t
		r.Start()
		r.client.Move(ready)
		wait(time.Minute)
		if !r.Allocate(sidecartest.Allocation{}) {
			t.Fatal("cannot allocate")
		}
		r.Stop() // what the client knows is old now
		wait(time.Minute)
		r.client.Move(&sidecar.Transition{To: sidecar.Ready, From: []sidecar.AgonesState{sidecar.Scheduled}})
		r.Start()
		wait(time.Minute)
		if got := r.GameServer().State; got != sidecar.Allocated {
			t.Errorf("state = %s, want Allocated: players are on their way", got)
		}
	})
}

func TestASessionEndsOnlyTheAllocationThatItBelongsTo(t *testing.T) {
	inBubble(t, sidecartest.Options{GameServer: sidecar.GameServer{State: sidecar.Ready}}, func(r *rig) {
		t := r.t
		r.Start()
		r.Allocate(sidecartest.Allocation{})
		first := r.GameServer().LastAllocated()
		wait(time.Minute)
		r.Allocate(sidecartest.Allocation{})
		back := sidecar.Transition{To: sidecar.Ready, From: []sidecar.AgonesState{sidecar.Allocated}, LastAllocated: first}
		r.client.Move(&back)
		wait(time.Minute)
		if got := r.GameServer().State; got != sidecar.Allocated {
			t.Fatalf("state = %s, want Allocated: it was allocated again", got)
		}
		again := back
		again.LastAllocated = r.GameServer().LastAllocated()
		r.client.Move(&again)
		wait(time.Minute)
		if got := r.GameServer().State; got != sidecar.Ready {
			t.Errorf("state = %s, want Ready", got)
		}
	})
}

func TestNothingIsAskedOfAGameServerThatIsOver(t *testing.T) {
	inBubble(t, sidecartest.Options{}, func(r *rig) {
		t := r.t
		r.Start()
		r.Delete()
		r.client.Move(&sidecar.Transition{To: sidecar.Shutdown})
		r.client.Assert(sidecar.Metadata{Labels: map[string]string{"phase": "lobby"}})
		wait(10 * time.Minute)
		if n := r.count("Shutdown") + r.count("SetLabel"); n != 0 {
			t.Errorf("%d calls after the deletion, want none: %v", n, r.Calls())
		}
	})
}

func TestCallsThatHangOrFailAreRepeated(t *testing.T) {
	inBubble(t, sidecartest.Options{}, func(r *rig) {
		t := r.t
		r.Start()
		r.Hang(true)
		r.client.Move(ready)
		wait(time.Minute)
		r.Hang(false)
		r.Fail(5)
		wait(time.Minute)
		if got := r.GameServer().State; got != sidecar.Ready {
			t.Errorf("state = %s, want Ready", got)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, want := range []string{"GetGameServer DeadlineExceeded", "GetGameServer Unknown", "Ready OK"} {
			if !slices.Contains(r.codes, want) {
				t.Errorf("calls = %v, want %q among them", r.codes, want)
			}
		}
	})
}

func TestPingsOutliveTheServer(t *testing.T) {
	health := sidecar.HealthSettings{Period: 2 * time.Second, FailureThreshold: 3, InitialDelay: time.Second}
	inBubble(t, sidecartest.Options{GameServer: sidecar.GameServer{Health: health}}, func(r *rig) {
		t := r.t
		r.Start()
		for i := range 300 {
			r.client.Ping()
			wait(time.Second)
			if i == 100 || i == 200 {
				r.Stop()
				r.Start()
			}
		}
		if got := r.GameServer().State; got == sidecar.Unhealthy {
			t.Error("the GameServer is Unhealthy although there was a ping every second")
		}
		if n := r.count("Health"); n < 298 || n > 302 {
			t.Errorf("%d pings arrived of 300", n)
		}
		wait(time.Minute)
		if got := r.GameServer().State; got != sidecar.Unhealthy {
			t.Errorf("state = %s without pings, want Unhealthy", got)
		}
	})
}

func TestAPingThatCannotBeSentIsDropped(t *testing.T) {
	inBubble(t, sidecartest.Options{}, func(r *rig) {
		t := r.t
		for range 10 {
			r.client.Ping()
			wait(time.Second)
		}
		wait(time.Minute)
		r.Start()
		wait(time.Minute)
		if n := r.count("Health"); n != 0 {
			t.Errorf("%d pings arrived that were a minute old", n)
		}
	})
}

func fleet(values ...string) sidecartest.Options {
	return sidecartest.Options{GameServer: sidecar.GameServer{
		State:    sidecar.Ready,
		Lists:    map[string]sidecar.List{"players": {Capacity: 8, Values: values}},
		Counters: map[string]sidecar.Counter{"races": {Capacity: 1000}},
	}}
}

func players(present ...string) sidecar.Metadata {
	return sidecar.Metadata{
		Labels:      map[string]string{"players": strconv.Itoa(len(present)), "phase": "lobby"},
		Annotations: map[string]string{"session": strings.Join(present, " ")},
		Counters:    map[string]int64{"races": int64(len(present))},
		Lists:       map[string]sidecar.ListGoal{"players": {Present: present, Absent: []string{"ghost"}}},
	}
}

func (r *rig) shows(t *testing.T, want ...string) {
	t.Helper()
	g := r.GameServer()
	if got := g.Lists["players"].Values; !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("players = %q, want %q", got, want)
	}
	if got := g.Labels["agones.dev/sdk-players"]; got != strconv.Itoa(len(want)) {
		t.Errorf("label players = %q, want %d", got, len(want))
	}
	if got := g.Counters["races"].Count; got != int64(len(want)) {
		t.Errorf("counter races = %d, want %d", got, len(want))
	}
}

func TestChangesAreCoalesced(t *testing.T) {
	inBubble(t, fleet(), func(r *rig) {
		t := r.t
		r.Start()
		var all []string
		for i := range 8 {
			all = append(all, "p"+strconv.Itoa(i))
		}
		start := time.Now()
		for i := range 1000 { // 100 changes a second for 10 s
			r.client.Assert(players(all[:1+i%8]...))
			wait(10 * time.Millisecond)
		}
		took := time.Since(start)
		if most := 1 + int(took/(500*time.Millisecond)); r.Patches() > most {
			t.Errorf("%d patches in %s, want at most %d", r.Patches(), took, most)
		}
		m := players("p0", "p1")
		m.Lists["players"] = sidecar.ListGoal{Present: all[:2], Absent: all[2:]}
		r.client.Assert(m)
		wait(20 * time.Second)
		r.shows(t, "p0", "p1")
	})
}

func TestValuesOfOthersStayAndGhostsGo(t *testing.T) {
	inBubble(t, fleet("ghost", "reservation"), func(r *rig) {
		t := r.t
		r.Start()
		m := players("p0")
		r.client.Assert(m)
		wait(20 * time.Second)
		if got, want := r.GameServer().Lists["players"].Values, []string{"reservation", "p0"}; !slices.Equal(got, want) {
			t.Errorf("players = %q, want %q", got, want)
		}
	})
}

func TestAListIsNotFilledOverItsCapacity(t *testing.T) {
	o := fleet("a", "b", "ghost")
	o.GameServer.Lists["players"] = sidecar.List{Capacity: 3, Values: []string{"a", "b", "ghost"}}
	inBubble(t, o, func(r *rig) {
		t := r.t
		r.Start()
		r.client.Assert(players("p0", "p1", "p2"))
		wait(time.Minute)
		if got, want := r.GameServer().Lists["players"].Values, []string{"a", "b", "p0"}; !slices.Equal(got, want) {
			t.Errorf("players = %q, want %q", got, want)
		}
		if n := r.count("AddListValue"); n != 1 {
			t.Errorf("%d values were added, want 1: %v", n, r.Calls())
		}
	})
}

func TestWhatARestartLostIsAssertedAgain(t *testing.T) {
	inBubble(t, fleet(), func(r *rig) {
		t := r.t
		r.Start()
		wait(time.Second)
		r.client.Assert(players("p0", "p1", "p2"))
		synctest.Wait() // the first kind is written at once, the rest waits
		for range 3 {
			r.Stop()
			r.Start()
			wait(700 * time.Millisecond)
		}
		wait(20 * time.Second)
		r.shows(t, "p0", "p1", "p2")
		r.mu.Lock()
		defer r.mu.Unlock()
		if n := len(r.reopened); n < 3 {
			t.Errorf("streams were opened again %d times, want at least 3", n)
		}
	})
}

func TestWhatTheFleetDoesNotDeclareIsLeftAlone(t *testing.T) {
	inBubble(t, sidecartest.Options{}, func(r *rig) {
		t := r.t
		r.Start()
		r.client.Assert(players("p0"))
		wait(time.Minute)
		if n := r.count("AddListValue") + r.count("UpdateCounter"); n != 0 {
			t.Errorf("%d calls for what is not declared: %v", n, r.Calls())
		}
		if got := r.GameServer().Labels["agones.dev/sdk-phase"]; got != "lobby" {
			t.Errorf("label phase = %q, want lobby", got)
		}
	})
}

func TestAQuietLifeMakesNoCalls(t *testing.T) {
	inBubble(t, fleet(), func(r *rig) {
		t := r.t
		r.Start()
		r.client.Assert(players("p0"))
		wait(time.Minute)
		before := len(r.Calls())
		for range 100 {
			r.client.Assert(players("p0"))
			wait(time.Minute)
		}
		if after := len(r.Calls()); after != before {
			t.Errorf("calls although nothing changed: %v", r.Calls()[before:])
		}
		if n := r.count("UpdateList"); n != 0 {
			t.Error("UpdateList was called")
		}
	})
}
