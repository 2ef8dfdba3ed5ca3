package sidecar_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// FuzzStep plays any sequence of events: each pair of bytes is one, with what it says. It holds what the documentation of Step
// promises.
func FuzzStep(f *testing.F) {
	f.Add([]byte{1, 3, 3, 1, 4, 0, 1, 5, 1, 7, 4, 2, 5, 2, 0, 9})
	f.Add([]byte{3, 1, 4, 2, 1, 7, 8, 0, 0, 200, 4, 0, 5, 0})
	f.Add([]byte{10, 1, 1, 3, 3, 1, 4, 3, 1, 5, 1, 6, 1, 7, 1, 5, 11, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := sidecar.DefaultPolicy()
		if len(script) > 0 {
			flags := script[0]
			if flags&1 != 0 {
				p.Allocation = sidecar.ByPlayer
			}
			if flags&2 != 0 {
				p.WhenEmpty, p.WhenUnjoined = sidecar.BackToPool, sidecar.BackToPool
			}
			if flags&4 != 0 {
				p.MaxAge, p.MaxSession, p.NeverReady = time.Hour, time.Hour, 10*time.Minute
			}
			p.ExposeNames = flags&8 != 0
		}
		w := &world{t: t, p: p, now: start}
		for i := 1; i+1 < len(script); i += 2 {
			w.step(script[i], script[i+1])
		}
	})
}

// world plays events and watches the promises.
type world struct {
	t   *testing.T
	p   sidecar.Policy
	s   sidecar.State
	now time.Time
	gs  sidecar.GameServer

	serving, faulty, seen bool
	served                bool
	lastSign              time.Time
	ended                 bool // the session that the GameServer shows is over
}

var agonesStates = []sidecar.AgonesState{
	sidecar.PortAllocation, sidecar.Creating, sidecar.Starting, sidecar.Scheduled, sidecar.RequestReady, sidecar.Ready,
	sidecar.Reserved, sidecar.Allocated, sidecar.Unhealthy, sidecar.Error, sidecar.Shutdown,
}

// event makes something happen, and keeps what the promises are about.
func (w *world) event(kind, arg byte) sidecar.Happening {
	switch kind % 12 {
	case 0:
		w.now = w.now.Add(time.Duration(arg) * time.Second)
		return sidecar.Tick{}
	case 1:
		w.gs = sidecar.GameServer{
			State: agonesStates[int(arg)%len(agonesStates)], Deleting: arg > 250,
			Annotations: map[string]string{sidecar.LastAllocated: w.gs.LastAllocated()},
			Lists:       map[string]sidecar.List{"players": {Capacity: 4, Values: []string{"seat"}[:arg&1]}},
		}
		if arg > 128 || w.gs.State == sidecar.Allocated && w.gs.LastAllocated() == "" {
			w.gs.Annotations = map[string]string{sidecar.LastAllocated: w.now.String() + string(rune('a'+arg%26))}
		}
		w.seen = true
		return sidecar.Seen{GameServer: w.gs}
	case 2:
		w.lastSign = w.now
		return sidecar.Alive{By: []sidecar.Signal{sidecar.Answer, sidecar.Socket, sidecar.Log}[arg%3]}
	case 3:
		w.serving = arg&1 != 0 && !w.faulty
		w.served = w.served || w.serving
		return sidecar.Serves{Now: arg&1 != 0}
	case 4:
		var players []sidecar.Player
		for i := range int(arg % 9) {
			players = append(players, sidecar.Player{ID: sidecar.IDPrefix + string(rune('a'+i)), Name: string([]byte{arg, byte(i)})})
		}
		return sidecar.Here{Players: players, Count: len(players)}
	case 5:
		return sidecar.Plays{Match: []sidecar.Match{sidecar.Lobby, sidecar.MatchStarting, sidecar.Racing}[arg%3], Track: string([]byte{arg, 0xff})}
	case 6:
		return sidecar.RacesEnded{Total: int64(arg)}
	case 7:
		if arg > 250 {
			return sidecar.Exited{}
		}
		return sidecar.Tick{}
	case 8:
		return sidecar.Drain{Reason: "test"}
	case 9:
		if arg > 250 {
			w.faulty, w.serving = true, false
			return sidecar.Faulty{Reason: "port"}
		}
		return sidecar.Tick{}
	case 10:
		return sidecar.Here{Count: int(arg)}
	}
	return sidecar.Tick{}
}

func (w *world) step(kind, arg byte) {
	before := w.s
	what := w.event(kind, arg)
	after, actions := w.p.Step(before, sidecar.Event{At: w.now, What: what})
	w.s = after
	if before.Phase == sidecar.Over && len(actions) > 0 {
		w.t.Fatalf("%T after the end: %v", what, actions)
	}
	for _, a := range actions {
		w.check(a)
	}
}

func (w *world) check(a sidecar.Action) {
	switch x := a.(type) {
	case sidecar.Move:
		if x.Transition != nil {
			w.checkMove(*x.Transition)
		}
	case sidecar.Ping:
		w.checkPing()
	case sidecar.Assert:
		w.checkSaid(x.Metadata)
	case sidecar.Enter:
		w.checkLeaving(x)
		w.ended = x.To == sidecar.Waiting && x.From != sidecar.Booting
		if x.From == sidecar.Over {
			w.t.Fatalf("out of the last phase: %+v", x)
		}
	}
}

func (w *world) checkMove(m sidecar.Transition) {
	there := w.s.PlayersThere()
	if w.gs.Over() {
		w.t.Fatalf("asked for %s of a GameServer that is over", m.To)
	}
	switch m.To {
	case sidecar.Ready:
		if !w.serving || w.faulty {
			w.t.Fatal("Ready before the game serves on its port")
		}
		if w.gs.State == sidecar.Reserved || slices.Contains(m.From, sidecar.Reserved) {
			w.t.Fatal("Ready of a server that is reserved")
		}
		if w.gs.State == sidecar.Allocated && (!w.ended || m.LastAllocated != w.gs.LastAllocated() || there > 0) {
			w.t.Fatalf("Ready of an allocated server whose session did not end: %+v, %d players", m, there)
		}
		if slices.Contains(m.From, sidecar.Allocated) && w.gs.State != sidecar.Allocated {
			w.t.Fatal("Ready may take an allocation that was not there when it was decided")
		}
	case sidecar.Shutdown:
		if w.s.Phase != sidecar.Leaving {
			w.t.Fatalf("Shutdown in the phase %s", w.s.Phase)
		}
	case sidecar.Allocated:
		if w.p.Allocation != sidecar.ByPlayer || there == 0 {
			w.t.Fatal("Allocate without a player, or without being asked to")
		}
	default:
		w.t.Fatalf("asked for %s", m.To)
	}
}

// checkLeaving holds players dear, except at a deadline of a drain: the drain's own, or that for players in the lobby.
func (w *world) checkLeaving(x sidecar.Enter) {
	if there := w.s.PlayersThere(); x.To == sidecar.Leaving && there > 0 {
		lobby := w.s.Match == sidecar.Lobby && !w.now.Before(w.s.MatchSince.Add(w.p.LobbyGrace)) || w.s.Match == sidecar.MatchStarting
		if w.s.Drain == "" || w.now.Before(w.s.DrainBy) && !lobby {
			w.t.Fatalf("left with %d players, drain %q by %s, now %s", there, w.s.Drain, w.s.DrainBy, w.now)
		}
	}
}

// checkPing allows one only in the window after a sign of life, or while the game boots.
func (w *world) checkPing() {
	window := 2*15*time.Second/3 - 2500*time.Millisecond
	booting := !w.served && !w.now.After(w.s.Started.Add(w.p.StartTimeout))
	if w.faulty || !booting && w.now.Sub(w.lastSign) >= window {
		w.t.Fatalf("pinged %s after the last sign of life", w.now.Sub(w.lastSign))
	}
}

func (w *world) checkSaid(m sidecar.Metadata) {
	if n, said := m.Labels["players"]; said != w.s.Known || said && (len(n) != 1 || n > "4") {
		w.t.Fatalf("label players = %q, capacity is 4; players are known: %t", n, w.s.Known)
	}
	for key, v := range m.Labels {
		if v == "" || len(v) > 63 {
			w.t.Fatalf("label %s = %q", key, v)
		}
	}
	for _, v := range m.Lists["players"].Absent {
		if slices.Contains(m.Lists["players"].Present, v) {
			w.t.Fatalf("%q is to be in the list and not in it", v)
		}
	}
}

func TestNoSequenceOfEventsBreaksAPromise(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 7))
		p := sidecar.DefaultPolicy()
		if seed&1 != 0 {
			p.Allocation, p.WhenEmpty, p.WhenUnjoined = sidecar.ByPlayer, sidecar.BackToPool, sidecar.BackToPool
		}
		w := &world{t: t, p: p, now: start}
		for range 150 {
			w.step(byte(r.UintN(256)), byte(r.UintN(256)))
		}
	}
}
