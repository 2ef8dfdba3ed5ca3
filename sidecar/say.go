package sidecar

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Annotations that the sidecar sets; Agones puts [SDKPrefix] before them.
const (
	// SessionState is "accepting" when an allocated server really takes players, and "closed" when it does not.
	SessionState = "session-state"
	// Memory is what a sidecar that starts again has to know.
	Memory = "pitcrew"
)

// memory is the content of the annotation [Memory].
type memory struct {
	Phase        Phase     `json:"phase"`
	Since        time.Time `json:"since"`
	Started      time.Time `json:"started"`
	Session      string    `json:"session,omitempty"`
	SessionSince time.Time `json:"sessionSince,omitzero"`
	Drain        string    `json:"drain,omitempty"`
	DrainBy      time.Time `json:"drainBy,omitzero"`
}

// say makes the GameServer tell what the state is, when that changed.
func (m *moment) say() []Action {
	if m.Agones == nil || m.Agones.Over() {
		return nil
	}
	now := m.metadata()
	if equal(now, m.said) {
		return nil
	}
	m.said = now
	return []Action{Assert{Metadata: now}}
}

func (m *moment) metadata() Metadata {
	s := m.State
	accepting := "closed"
	if s.Serving && slices.Contains(session, s.Phase) {
		accepting = "accepting"
	}
	remember, err := json.Marshal(memory{s.Phase, s.Since, s.Started, s.Session, s.SessionSince, s.Drain, s.DrainBy})
	if err != nil {
		panic(err) // times and strings only
	}
	count := int64(s.PlayersThere())
	if l, ok := s.Agones.Lists[m.p.List]; ok {
		count = min(count, l.Capacity)
	}
	labels := map[string]string{"track": label(s.Track), "mode": label(s.Mode), "phase": string(s.Phase)}
	if s.Known { // an allocation may select servers by it: what an earlier sidecar said is better than a 0 that nobody counted
		labels["players"] = strconv.FormatInt(count, 10)
	}
	return Metadata{
		Labels:      labels,
		Annotations: map[string]string{SessionState: accepting, Memory: string(remember)},
		Counters:    map[string]int64{m.p.Counter: s.Races},
		Lists:       map[string]ListGoal{m.p.List: m.listGoal()},
	}
}

func equal(a, b Metadata) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) && maps.Equal(a.Counters, b.Counters) &&
		maps.EqualFunc(a.Lists, b.Lists, func(x, y ListGoal) bool {
			return slices.Equal(x.Present, y.Present) && slices.Equal(x.Absent, y.Absent)
		})
}

// IDPrefix begins every value that a sidecar puts into the list of players.
const IDPrefix = "p-"

// value is what stands for a player in the list.
func (m *moment) value(p Player) string {
	if m.p.ExposeNames {
		return IDPrefix + p.Name
	}
	return p.ID
}

// values are as many as the game says: of players whom it names too long the latest count, and for those whom it does not name
// there are values without a name.
func (m *moment) values() []string {
	there := min(m.PlayersThere(), maxValues)
	if !m.Disagree.IsZero() && !m.past(m.Disagree, settle) {
		there = len(m.Players) // the log is a moment behind, or ahead
	}
	var values []string
	for _, p := range m.Players[max(0, len(m.Players)-there):] {
		if v := m.value(p); !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	for i := 1; len(values) < there; i++ {
		if v := IDPrefix + "unnamed-" + strconv.Itoa(i); !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return values
}

// settle is how long the game's count and its log may name different numbers before the count decides what the list says.
const settle = 2 * time.Second

// maxValues is Agones' own bound of a list.
const maxValues = 1000

// listGoal keeps the players in the list and takes out who is gone, and what was reserved for too long.
func (m *moment) listGoal() ListGoal {
	goal := ListGoal{Present: m.values()}
	if !m.Known { // who is gone cannot be said yet
		return goal
	}
	for _, v := range m.Agones.Lists[m.p.List].Values {
		until, reserved := m.Reservations[v]
		if !slices.Contains(goal.Present, v) && (!reserved || !m.at.Before(until)) {
			goal.Absent = append(goal.Absent, v)
		}
	}
	slices.Sort(goal.Absent)
	return goal
}

// reserve takes values that somebody else put into the list for reservations.
func (m *moment) reserve(g GameServer) {
	kept := map[string]time.Time{}
	for _, v := range g.Lists[m.p.List].Values {
		if strings.HasPrefix(v, IDPrefix) {
			continue
		}
		until, known := m.Reservations[v]
		if !known {
			until = m.at.Add(m.p.ReservationTTL)
		}
		kept[v] = until
	}
	m.Reservations = kept
}

// seat gives a player who came a reservation: the one in its name, or else the oldest.
func (m *moment) seat(p Player) {
	if len(m.Reservations) == 0 {
		return
	}
	taken := p.Name
	if _, ok := m.Reservations[taken]; !ok {
		taken = slices.MinFunc(slices.Sorted(maps.Keys(m.Reservations)), func(a, b string) int {
			return m.Reservations[a].Compare(m.Reservations[b])
		})
	}
	m.Reservations = maps.Clone(m.Reservations)
	m.Reservations[taken] = m.at // it lapses now
}

// adopt goes on where an earlier sidecar stopped.
func (m *moment) adopt() []Action {
	s, g := m.State, m.Agones
	s.Races = max(s.Races, g.Counters[m.p.Counter].Count)
	var was memory
	if err := json.Unmarshal([]byte(g.Annotations[SDKPrefix+Memory]), &was); err != nil || was.Started.IsZero() || was.Started.After(m.at) {
		return nil // the first sidecar, or what it wrote is of no use: the states decide
	}
	s.Started = was.Started
	known := slices.Contains(append(session, Draining), was.Phase)
	if !known || g.State != Allocated || was.Session != g.LastAllocated() || was.Since.After(m.at) {
		return nil
	}
	from := s.Phase
	s.Phase, s.Since, s.Session, s.SessionSince = was.Phase, was.Since, was.Session, was.SessionSince
	s.Drain, s.DrainBy = was.Drain, was.DrainBy
	if s.Phase == Draining {
		m.drainBy(time.Time{})
	}
	return []Action{Enter{From: from, To: s.Phase, Reason: "adopted"}}
}
