package sidecar

import "time"

// edge is a way from one phase to another. The table below is the whole life cycle: [Step] takes the first edge that is open,
// and the diagram in docs/sidecar.md is drawn from it.
type edge struct {
	from []Phase
	to   Phase
	when string // for people
	open func(*moment) bool
}

// moment is a state at a time, with the policy: what edges look at.
type moment struct {
	*State
	p  Policy
	at time.Time
}

var (
	alive   = []Phase{Booting, Waiting, Expecting, Playing, Emptied, Draining, Leaving}
	working = []Phase{Booting, Waiting, Expecting, Playing, Emptied}
	session = []Phase{Expecting, Playing, Emptied}
)

var edges = []edge{
	{alive, Over, "the game exited", func(m *moment) bool { return m.Exited }},
	{[]Phase{Leaving}, Over, "the GameServer is over", func(m *moment) bool { return m.Agones != nil && m.Agones.Over() }},

	{working, Draining, "drain asked for", func(m *moment) bool { return m.Drain != "" }},
	{working, Draining, "the GameServer is being deleted or over", func(m *moment) bool { return m.Agones != nil && m.Agones.Over() }},
	{session, Draining, "allocation overflow", (*moment).overflowing},
	{session, Draining, "session limit", func(m *moment) bool { return m.p.MaxSession > 0 && m.past(m.SessionSince, m.p.MaxSession) }},

	{[]Phase{Booting}, Expecting, "found allocated", (*moment).allocated},
	{[]Phase{Booting}, Waiting, "serves", func(m *moment) bool { return m.Serving && m.Agones != nil }},
	{[]Phase{Booting}, Leaving, "never ready", func(m *moment) bool {
		return m.p.NeverReady > 0 && m.past(m.Started, m.p.NeverReady) && m.PlayersThere() == 0
	}},

	{[]Phase{Waiting}, Expecting, "allocated", (*moment).allocated},
	{[]Phase{Waiting}, Playing, "players came back", func(m *moment) bool {
		return m.Ended && m.Agones.State == Allocated && m.PlayersThere() > 0
	}},
	{[]Phase{Waiting}, Leaving, "too old", func(m *moment) bool {
		return m.p.MaxAge > 0 && m.past(m.Started, m.p.MaxAge) && m.empty()
	}},

	{[]Phase{Expecting, Emptied}, Playing, "players are there", func(m *moment) bool { return m.PlayersThere() > 0 }},
	{[]Phase{Expecting}, Leaving, "nobody joined", func(m *moment) bool { return m.unjoined() && m.p.WhenUnjoined == ShutDown }},
	{[]Phase{Expecting}, Waiting, "nobody joined, back to the pool", func(m *moment) bool {
		return m.unjoined() && m.p.WhenUnjoined == BackToPool && !m.inMatch()
	}},
	{[]Phase{Playing}, Emptied, "all players left", (*moment).empty},
	{[]Phase{Emptied}, Expecting, "allocated again", (*moment).allocatedAgain},
	{[]Phase{Emptied}, Leaving, "empty", func(m *moment) bool { return m.stayedEmpty() && m.p.WhenEmpty == ShutDown }},
	{[]Phase{Emptied}, Waiting, "empty, back to the pool", func(m *moment) bool {
		return m.stayedEmpty() && m.p.WhenEmpty == BackToPool && !m.inMatch()
	}},

	{[]Phase{Draining}, Leaving, "nobody is there", func(m *moment) bool {
		return m.empty() || !m.Known && !m.Served && m.Session == "" // a game that never served has nobody
	}},
	{[]Phase{Draining}, Leaving, "the match is over", func(m *moment) bool {
		return m.Match == Lobby && m.past(later(m.MatchSince, m.Since), m.p.LobbyGrace)
	}},
	{[]Phase{Draining}, Leaving, "the next match would begin", func(m *moment) bool {
		return m.Match == MatchStarting && m.MatchSince.After(m.Since)
	}},
	{[]Phase{Draining}, Leaving, "drain deadline", func(m *moment) bool { return !m.at.Before(m.DrainBy) }},
	{[]Phase{Leaving}, Expecting, "allocated in the same moment", func(m *moment) bool {
		return m.Drain == "" && m.wanted != nil && len(m.wanted.From) > 0 && m.allocated()
	}},
}

func (m *moment) past(since time.Time, d time.Duration) bool { return !m.at.Before(since.Add(d)) }

func (m *moment) inMatch() bool { return m.Match == MatchStarting || m.Match == Racing }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// empty says that the game has told that nobody is there.
func (m *moment) empty() bool { return m.Known && m.PlayersThere() == 0 }

// allocated says that an allocation claims the server that is not the one whose session ended.
func (m *moment) allocated() bool {
	g := m.Agones
	return g != nil && g.State == Allocated && !g.Deleting && (!m.Ended || g.LastAllocated() != m.Session)
}

func (m *moment) allocatedAgain() bool { return m.allocated() && m.Agones.LastAllocated() != m.Session }

func (m *moment) unjoined() bool {
	return m.empty() && m.p.JoinTimeout > 0 && m.past(m.SessionSince, m.p.JoinTimeout) && !m.allocatedAgain()
}

func (m *moment) stayedEmpty() bool {
	return m.empty() && m.past(m.Since, m.p.EmptyGrace) && !m.allocatedAgain()
}

// overflowing says that a Fleet wants to see the server end after its match.
func (m *moment) overflowing() bool {
	g := m.Agones
	if g == nil || m.p.OverflowKey == "" {
		return false
	}
	_, label := g.Labels[m.p.OverflowKey]
	_, annotation := g.Annotations[m.p.OverflowKey]
	return label || annotation
}
