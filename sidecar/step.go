package sidecar

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Step is what the sidecar does about an event: a pure function. Whatever comes in whatever order, it holds that
//
//   - Ready is asked for only once the game serves on its port, and never of a GameServer that is Allocated or Reserved,
//     except at the end of the very session that it was allocated for;
//   - Agones is pinged only within the policy's window after a sign of life, or while the game boots within its time;
//   - Shutdown is not asked for while players are there, except at a drain's deadline;
//   - after the phase Over there is no action at all.
func (p Policy) Step(s State, e Event) (State, []Action) {
	if s.Phase == "" {
		s.Phase, s.Since, s.Started = Booting, e.At, e.At
	}
	if s.Terminal() {
		return s, nil
	}
	m := &moment{State: &s, p: p, at: e.At}
	var actions []Action
	m.absorb(e.What, &actions)
	for range len(edges) { // a way through all phases is shorter
		i := slices.IndexFunc(edges, func(x edge) bool { return slices.Contains(x.from, s.Phase) && x.open(m) })
		if i < 0 {
			break
		}
		actions = append(actions, m.enter(edges[i]))
		if s.Phase == Leaving || s.Phase == Over {
			actions = append(actions, Release{})
		}
	}
	if s.Terminal() {
		return s, actions
	}
	actions = append(actions, m.ping()...)
	actions = append(actions, m.move()...)
	return s, append(actions, m.say()...)
}

// absorb takes what happened into the state.
func (m *moment) absorb(what Happening, actions *[]Action) {
	s := m.State
	switch x := what.(type) {
	case Tick:
	case Seen:
		first := s.Agones == nil
		m.reserve(x.GameServer)
		s.Agones = &x.GameServer
		if first {
			*actions = append(*actions, m.adopt()...)
		}
		if slices.Contains(session, s.Phase) && m.allocatedAgain() && s.Phase != Emptied {
			s.Session, s.SessionSince = s.Agones.LastAllocated(), m.at
		}
	case Alive:
		s.Signs = maps.Clone(s.Signs)
		if s.Signs == nil {
			s.Signs = map[Signal]time.Time{}
		}
		s.Signs[x.By] = m.at
	case Serves:
		s.Serving = x.Now && s.Fault == ""
		s.Served = s.Served || s.Serving
	case Faulty:
		s.Fault, s.Serving = x.Reason, s.Serving && x.Reason == ""
	case Here:
		m.here(x)
	case Plays:
		if x.Match != s.Match {
			s.MatchSince = m.at
		}
		s.Match, s.Track, s.Mode = x.Match, x.Track, x.Mode
	case RacesEnded:
		s.Races = max(s.Races, x.Total)
	case Exited:
		s.Exited = true
	case Drain:
		if s.Drain == "" {
			s.Drain = x.Reason
		}
		m.drainBy(x.By)
	}
}

// drainBy sets the deadline of a drain; a later wish may only bring it forward.
func (m *moment) drainBy(by time.Time) {
	if by.IsZero() {
		by = m.at.Add(m.p.DrainTimeout)
	}
	if m.DrainBy.IsZero() || by.Before(m.DrainBy) {
		m.DrainBy = by
	}
}

func (m *moment) here(x Here) {
	s := m.State
	old := s.ids()
	s.Players, s.Count, s.Known = slices.Clone(x.Players), x.Count, true
	if s.Count < 0 || s.Count == len(s.Players) {
		s.Disagree = time.Time{}
	} else if s.Disagree.IsZero() {
		s.Disagree = m.at
	}
	for _, player := range s.Players {
		if !slices.Contains(old, player.ID) {
			m.seat(player)
		}
	}
}

// enter takes an edge.
func (m *moment) enter(x edge) Action {
	s := m.State
	from := s.Phase
	s.Phase, s.Since = x.to, m.at
	reason, cutOff := x.when, 0
	switch x.to {
	case Expecting:
		s.Session, s.SessionSince, s.Ended = s.Agones.LastAllocated(), m.at, false
	case Waiting:
		s.Ended = from != Booting
	case Draining:
		if s.Drain == "" {
			s.Drain = x.when
		}
		reason = s.Drain
		m.drainBy(time.Time{})
	case Leaving, Over:
		if s.Match != Lobby && s.Match != MatchStarting && from != Leaving {
			cutOff = s.PlayersThere()
		}
	case Playing:
		s.Ended = false
	case Booting, Emptied:
	}
	return Enter{From: from, To: x.to, Reason: reason, CutOff: cutOff}
}

// ping says twice in each of Agones' periods whether the game is well.
func (m *moment) ping() []Action {
	s := m.State
	if s.Agones != nil && s.Agones.Over() || m.at.Sub(s.pinged) < m.p.pingEvery(s.Agones) && !s.pinged.IsZero() {
		return nil
	}
	s.pinged, s.Withheld = m.at, m.silent()
	if s.Withheld != "" {
		return []Action{Withhold{Reason: s.Withheld}}
	}
	return []Action{Ping{}}
}

// Reasons why a ping is withheld.
const (
	Silent    = "silent"
	SlowStart = "start-timeout"
	WrongPort = "fault"
)

// silent is why Agones cannot be told that the game is well; empty if it can.
func (m *moment) silent() string {
	s := m.State
	at, _ := s.LastSign()
	young := s.Agones == nil || s.Agones.State.Young() || s.Agones.State == RequestReady
	switch {
	case s.Fault != "":
		return WrongPort
	case s.Served && m.past(at, m.p.window(s.Agones)):
		return Silent
	case !s.Served && young && m.past(s.Started, m.p.StartTimeout):
		return SlowStart
	case !s.Served && !young && m.past(later(at, s.Started), m.p.window(s.Agones)):
		return Silent // it was ready once: this sidecar is a later one, and finds the game mute
	}
	return ""
}

// move asks for what the phase needs of Agones.
func (m *moment) move() []Action {
	want := m.want()
	if same(want, m.wanted) {
		return nil
	}
	m.wanted = want
	return []Action{Move{Transition: want}}
}

func same(a, b *Transition) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.To == b.To && a.LastAllocated == b.LastAllocated && a.For == b.For && slices.Equal(a.From, b.From)
}

func (m *moment) want() *Transition {
	s := m.State
	if s.Agones == nil || s.Agones.Over() {
		return nil
	}
	young := []AgonesState{PortAllocation, Creating, Starting, Scheduled, RequestReady}
	switch s.Phase {
	case Waiting:
		switch {
		case !s.Serving:
		case s.Agones.State.Young() || s.Agones.State == RequestReady:
			return &Transition{To: Ready, From: young}
		case s.Ended && s.Agones.State == Allocated:
			return &Transition{To: Ready, From: []AgonesState{Allocated}, LastAllocated: s.Session}
		case m.p.Allocation == ByPlayer && s.PlayersThere() > 0:
			return &Transition{To: Allocated, From: []AgonesState{Ready, Reserved}}
		}
	case Leaving:
		if s.Drain == "" && (s.Session == "" || s.Ended) { // nobody had claimed it: if somebody does now, it stays
			return &Transition{To: Shutdown, From: append(young, Ready, Reserved)}
		}
		return &Transition{To: Shutdown}
	case Booting, Expecting, Playing, Emptied, Draining, Over:
	}
	return nil
}

// label makes a value that Kubernetes accepts of anything; empty becomes "none".
func label(v string) string {
	v = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, v)
	v = strings.Trim(v[:min(len(v), 63)], "-_.")
	if v == "" {
		return "none"
	}
	return v
}
