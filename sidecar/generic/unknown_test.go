package generic_test

import (
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// TestAServerOfWhichNoPlayersAreKnown plays what this adapter tells without patterns, a socket's signs of life, into the state
// machine: it takes such a server neither for empty nor for full.
func TestAServerOfWhichNoPlayersAreKnown(t *testing.T) {
	drain := func(s *script) { s.does(sidecar.Drain{Reason: "test"}) }
	overflow := func(s *script) {
		s.gs.Labels = map[string]string{sidecar.DefaultPolicy().OverflowKey: "true"}
		s.does(sidecar.Seen{GameServer: s.gs})
	}
	for _, c := range []struct {
		name   string
		policy func(*sidecar.Policy)
		play   func(*script)
		wait   time.Duration
		want   sidecar.Phase
	}{
		{"serves", nil, (*script).ready, time.Hour, sidecar.Waiting},
		{"is in the pool for long", func(p *sidecar.Policy) { p.MaxAge = time.Minute }, (*script).ready, time.Hour, sidecar.Waiting},
		{"is allocated, and nobody may have joined", nil, (*script).allocated, time.Hour, sidecar.Expecting},
		{"is not claimed by players", func(p *sidecar.Policy) { p.Allocation = sidecar.ByPlayer }, (*script).ready, time.Hour, sidecar.Waiting},
		{"reaches its session's limit", func(p *sidecar.Policy) { p.MaxSession = time.Hour }, (*script).allocated, time.Hour + time.Second, sidecar.Draining},
		{"drains until shortly before its deadline", nil, func(s *script) { s.allocated(); drain(s) }, 10*time.Minute - time.Second, sidecar.Draining},
		{"ends at the deadline", nil, func(s *script) { s.allocated(); drain(s) }, 10 * time.Minute, sidecar.Leaving},
		{"ends at the deadline, in the pool too", nil, func(s *script) { s.ready(); drain(s) }, 10 * time.Minute, sidecar.Leaving},
		{"ends at the deadline after an overflow", nil, func(s *script) { s.allocated(); overflow(s) }, 10 * time.Minute, sidecar.Leaving},
		{"ends in the lobby, if that is known", nil, func(s *script) {
			s.allocated()
			s.does(sidecar.Plays{Match: sidecar.Lobby})
			drain(s)
		}, 15 * time.Second, sidecar.Leaving},
		{"plays its match to the end", nil, func(s *script) {
			s.allocated()
			s.does(sidecar.Plays{Match: sidecar.Racing})
			drain(s)
		}, 9 * time.Minute, sidecar.Draining},
		{"never served, and drains", nil, func(s *script) { s.does(sidecar.Seen{GameServer: s.gs}); drain(s) }, time.Second, sidecar.Leaving},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{p: sidecar.DefaultPolicy(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), gs: sidecar.GameServer{
				State: sidecar.Scheduled, Lists: map[string]sidecar.List{"players": {Capacity: 8, Values: []string{"p-1"}}},
			}}
			if c.policy != nil {
				c.policy(&s.p)
			}
			c.play(s)
			for end := s.now.Add(c.wait); s.now.Before(end); {
				s.now = s.now.Add(time.Second)
				s.does(sidecar.Alive{By: sidecar.Socket})
				s.does(sidecar.Tick{})
			}
			if s.state.Phase != c.want {
				t.Errorf("phase = %s, want %s", s.state.Phase, c.want)
			}
			if n, said := s.said.Labels["players"]; said {
				t.Errorf("the label players says %q of a server of which nobody knows", n)
			}
			if goal := s.said.Lists["players"]; len(goal.Present)+len(goal.Absent) > 0 {
				t.Errorf("the list is to be changed: %+v", goal)
			}
			if s.withheld {
				t.Error("a ping was withheld")
			}
		})
	}
}

// script plays events into the state machine.
type script struct {
	p        sidecar.Policy
	state    sidecar.State
	now      time.Time
	gs       sidecar.GameServer
	said     sidecar.Metadata
	withheld bool
}

func (s *script) does(h sidecar.Happening) {
	var actions []sidecar.Action
	s.state, actions = s.p.Step(s.state, sidecar.Event{At: s.now, What: h})
	for _, a := range actions {
		switch x := a.(type) {
		case sidecar.Assert:
			s.said = x.Metadata
		case sidecar.Withhold:
			s.withheld = true
		}
	}
}

func (s *script) ready() {
	s.does(sidecar.Alive{By: sidecar.Socket})
	s.does(sidecar.Serves{Now: true})
	s.gs.State = sidecar.Ready
	s.does(sidecar.Seen{GameServer: s.gs})
}

func (s *script) allocated() {
	s.ready()
	s.gs.State, s.gs.Annotations = sidecar.Allocated, map[string]string{sidecar.LastAllocated: s.now.String()}
	s.does(sidecar.Seen{GameServer: s.gs})
}
