package runner_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/agones"
	"github.com/pitcrew-dev/pitcrew/sidecar/runner"
	"github.com/pitcrew-dev/pitcrew/sidecar/sidecartest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// game is a server that does what a test says, and gives a sign of life every second while it lives.
type game struct {
	does  chan sidecar.Happening
	alive atomic.Bool
}

func (g *game) Observe(ctx context.Context, emit func(sidecar.Happening)) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case h := <-g.does:
			emit(h)
		case <-second.C:
			if g.alive.Load() {
				emit(sidecar.Alive{By: sidecar.Answer})
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// pod is a whole one in a bubble: Agones, its client over a connection in memory, the machine, and a game.
type pod struct {
	*testing.T
	*sidecartest.Server
	policy sidecar.Policy
	game   *game
	r      *runner.Runner
	stop   func()
}

func inPod(t *testing.T, p sidecar.Policy, test func(p *pod)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := &pod{T: t, policy: p, Server: sidecartest.New(sidecartest.Options{GameServer: sidecar.GameServer{
			Lists: map[string]sidecar.List{"players": {Capacity: 8}}, Counters: map[string]sidecar.Counter{"races": {Capacity: 100}},
		}})}
		defer x.Close()
		x.Start()
		x.sidecar()
		defer func() { x.stop() }()
		test(x)
	})
}

// sidecar starts one, with a game that is there already.
func (p *pod) sidecar() {
	p.T.Helper()
	client, err := agones.New("sdk:9357", agones.Options{Dial: p.Dial})
	if err != nil {
		p.Fatal(err)
	}
	p.game = &game{does: make(chan sidecar.Happening)}
	p.r = runner.New(p.policy, client, p.game, slog.New(slog.DiscardHandler), nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.r.Run(ctx) }()
	p.stop = func() {
		cancel()
		if err := <-done; err != nil {
			p.Errorf("Run() = %v, want nil when its context ends", err)
		}
		p.stop = func() {}
	}
	p.pass(time.Second)
}

// pass lets time pass.
func (p *pod) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (p *pod) do(all ...sidecar.Happening) {
	for _, h := range all {
		p.game.does <- h
	}
	p.pass(3 * time.Second)
}

// serve is a game that has come up.
func (p *pod) serve() {
	p.game.alive.Store(true)
	p.do(sidecar.Alive{By: sidecar.Log}, sidecar.Serves{Now: true}, sidecar.Plays{Match: sidecar.Lobby}, sidecar.Here{})
}

func players(ids ...string) sidecar.Here {
	h := sidecar.Here{Count: len(ids)}
	for _, id := range ids {
		h.Players = append(h.Players, sidecar.Player{ID: id, Name: "name of " + id})
	}
	return h
}

func (p *pod) want(state sidecar.AgonesState, phase sidecar.Phase) {
	p.T.Helper()
	if got := p.GameServer().State; got != state {
		p.Fatalf("Agones' state = %s in the phase %s, want %s; calls %v", got, p.r.State().Phase, state, p.Calls())
	}
	if got := p.r.State().Phase; got != phase {
		p.Fatalf("phase = %s, want %s", got, phase)
	}
}

func (p *pod) called(name string) int {
	return len(slices.DeleteFunc(p.Calls(), func(c string) bool { return c != name && !strings.HasPrefix(c, name+" ") }))
}

func TestAWholeLife(t *testing.T) {
	inPod(t, sidecar.DefaultPolicy(), func(p *pod) {
		p.pass(time.Minute) // STK takes its time
		p.want(sidecar.Scheduled, sidecar.Booting)
		p.serve()
		p.want(sidecar.Ready, sidecar.Waiting)
		p.pass(3 * time.Hour) // nobody comes, and nothing happens
		p.want(sidecar.Ready, sidecar.Waiting)
		p.Allocate(sidecartest.Allocation{})
		p.pass(5 * time.Second)
		p.want(sidecar.Allocated, sidecar.Expecting)
		if got := p.GameServer().Annotations["agones.dev/sdk-session-state"]; got != "accepting" {
			p.Errorf("session-state = %q, want accepting", got)
		}
		p.do(players("p-1", "p-2"), sidecar.Plays{Match: sidecar.Racing, Track: "lighthouse"})
		p.want(sidecar.Allocated, sidecar.Playing)
		if got := p.GameServer().Lists["players"].Values; !slices.Equal(got, []string{"p-1", "p-2"}) {
			p.Errorf("players = %q", got)
		}
		p.do(sidecar.RacesEnded{Total: 1}, sidecar.Plays{Match: sidecar.Lobby}, players())
		p.want(sidecar.Allocated, sidecar.Emptied)
		p.pass(time.Minute)
		p.want(sidecar.Shutdown, sidecar.Over)
		if got := p.GameServer().Counters["races"].Count; got != 1 {
			p.Errorf("races = %d, want 1", got)
		}
		if n := p.called("Ready"); n != 1 {
			p.Errorf("Ready was called %d times, want once", n)
		}
	})
}

func TestASilentGameIsGivenUpByAgones(t *testing.T) {
	inPod(t, sidecar.DefaultPolicy(), func(p *pod) {
		p.serve()
		p.game.alive.Store(false)
		p.pass(7 * time.Second) // the window is 7.5 s
		p.want(sidecar.Ready, sidecar.Waiting)
		p.pass(5 * time.Second)
		if got := p.r.State().Withheld; got != sidecar.Silent {
			p.Errorf("withheld = %q, want %q", got, sidecar.Silent)
		}
		p.pass(time.Minute)
		p.want(sidecar.Unhealthy, sidecar.Over)
	})
}

func TestAGameThatTakesTooLongToServeIsGivenUp(t *testing.T) {
	inPod(t, sidecar.DefaultPolicy(), func(p *pod) {
		p.game.alive.Store(true) // it says something, and never serves
		p.pass(2*time.Minute - 10*time.Second)
		p.want(sidecar.Scheduled, sidecar.Booting)
		p.pass(time.Minute)
		if got := p.GameServer().State; got != sidecar.Unhealthy {
			p.Errorf("state = %s, want Unhealthy after the start's timeout", got)
		}
	})
}

func TestASidecarThatDiesInMidRaceChangesNothing(t *testing.T) {
	inPod(t, sidecar.DefaultPolicy(), func(p *pod) {
		p.serve()
		p.Allocate(sidecartest.Allocation{})
		p.do(players("p-1", "p-2"), sidecar.Plays{Match: sidecar.Racing})
		before, calls := p.GameServer(), len(p.Calls())
		p.stop()
		p.pass(5 * time.Second)
		p.sidecar()
		p.game.alive.Store(true)
		p.do(sidecar.Serves{Now: true}, sidecar.Plays{Match: sidecar.Racing}, players("p-1", "p-2"))
		p.want(sidecar.Allocated, sidecar.Playing)
		p.pass(time.Hour)
		p.want(sidecar.Allocated, sidecar.Playing)
		for _, c := range p.Calls()[calls:] {
			if c == "Ready" || c == "Allocate" || c == "Shutdown" || strings.Contains(c, "ListValue") {
				p.Errorf("the new sidecar called %s", c)
			}
		}
		if after := p.GameServer(); !slices.Equal(after.Lists["players"].Values, before.Lists["players"].Values) {
			p.Errorf("players = %v, want %v", after.Lists, before.Lists)
		}
	})
}

func TestTheSDKServerComesAndGoesInMidRace(t *testing.T) {
	inPod(t, sidecar.DefaultPolicy(), func(p *pod) {
		p.serve()
		p.Allocate(sidecartest.Allocation{})
		p.do(players("p-1"), sidecar.Plays{Match: sidecar.Racing})
		for i := range 20 { // with what it had not yet written
			p.game.does <- players([]string{"p-1", "p-2", "p-3"}[:1+i%3]...)
			p.Stop()
			p.pass(time.Duration(i) * time.Second)
			p.Start()
			p.pass(700 * time.Millisecond)
		}
		p.do(players("p-1", "p-3"))
		p.pass(30 * time.Second)
		p.want(sidecar.Allocated, sidecar.Playing)
		if got := p.GameServer().Lists["players"].Values; !slices.Equal(got, []string{"p-1", "p-3"}) {
			p.Errorf("players = %q, want p-1 and p-3", got)
		}
	})
}

// What Agones does badly: calls that hang, fail, or are answered and forgotten.
func TestADifficultAgones(t *testing.T) {
	inPod(t, sidecar.DefaultPolicy(), func(p *pod) {
		p.Swallow(3)
		p.Fail(4)
		p.serve()
		p.pass(time.Minute)
		p.want(sidecar.Ready, sidecar.Waiting)
		p.Allocate(sidecartest.Allocation{})
		p.do(players("p-1"))
		p.Hang(true)
		p.do(players("p-1", "p-2"), players("p-2"), players())
		p.pass(5 * time.Second)
		p.Hang(false)
		p.Swallow(2)
		p.Fail(7)
		p.pass(3 * time.Minute)
		p.want(sidecar.Shutdown, sidecar.Over)
		if got := p.GameServer().Lists["players"].Values; len(got) != 0 {
			p.Errorf("players = %q, want none", got)
		}
	})
}

func TestADeletedServerPlaysOnAndIsReleased(t *testing.T) {
	inPod(t, sidecar.DefaultPolicy(), func(p *pod) {
		p.serve()
		p.Allocate(sidecartest.Allocation{})
		p.do(players("p-1"), sidecar.Plays{Match: sidecar.Racing})
		p.Delete()
		p.pass(5 * time.Minute)
		select {
		case <-p.r.Released():
			p.Fatal("released in mid-race")
		default:
		}
		p.do(sidecar.RacesEnded{Total: 1}, sidecar.Plays{Match: sidecar.Lobby})
		p.pass(sidecar.DefaultPolicy().LobbyGrace)
		select {
		case <-p.r.Released():
		default:
			p.Error("not released although the race is over")
		}
		if n := p.called("Shutdown"); n != 0 {
			p.Errorf("Shutdown was called %d times of a GameServer that is being deleted", n)
		}
	})
}

func TestAnOverflowingServerEndsAfterItsMatch(t *testing.T) {
	inPod(t, sidecar.DefaultPolicy(), func(p *pod) {
		p.serve()
		p.Allocate(sidecartest.Allocation{})
		p.do(players("p-1"), sidecar.Plays{Match: sidecar.Racing})
		p.Overflow(map[string]string{"pitcrew.dev/overflow": "true"}, nil)
		p.pass(5 * time.Second)
		p.want(sidecar.Allocated, sidecar.Draining)
		if got := p.GameServer().Annotations["agones.dev/sdk-session-state"]; got != "closed" {
			p.Errorf("session-state = %q, want closed", got)
		}
		p.do(sidecar.Plays{Match: sidecar.Lobby})
		p.pass(20 * time.Second)
		p.want(sidecar.Shutdown, sidecar.Over)
	})
}

func TestAMatchmakerIsFasterThanAShutdown(t *testing.T) {
	policy := sidecar.DefaultPolicy()
	policy.MaxAge = time.Hour
	inPod(t, policy, func(p *pod) {
		p.serve()
		p.pass(time.Hour - 10*time.Second)
		p.Hang(true) // the Shutdown of an old server is on its way
		p.pass(10 * time.Second)
		p.Allocate(sidecartest.Allocation{})
		p.Hang(false)
		p.pass(10 * time.Second)
		p.want(sidecar.Allocated, sidecar.Expecting)
	})
}

// Seats that an allocation reserved are kept for their time, and taken by who comes.
func TestReservedSeats(t *testing.T) {
	inPod(t, sidecar.DefaultPolicy(), func(p *pod) {
		p.serve()
		p.Allocate(sidecartest.Allocation{AddValues: map[string][]string{"players": {"alice", "bob", "carol"}}})
		p.pass(time.Second)
		p.do(players("p-1"))
		p.pass(10 * time.Second)
		if got := p.GameServer().Lists["players"].Values; len(got) != 3 || !slices.Contains(got, "p-1") {
			p.Errorf("players = %q, want who came and two seats", got)
		}
		p.pass(2 * time.Minute)
		if got := p.GameServer().Lists["players"].Values; !slices.Equal(got, []string{"p-1"}) {
			p.Errorf("players = %q, want p-1 alone after the seats' time", got)
		}
	})
}
