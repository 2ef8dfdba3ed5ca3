package sidecar_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// taken is a way from one phase to another, and why. Drains name their own reason.
type taken struct {
	from, to sidecar.Phase
	reason   string
}

func backToPool(p *sidecar.Policy) {
	p.WhenEmpty, p.WhenUnjoined = sidecar.BackToPool, sidecar.BackToPool
}

func limits(p *sidecar.Policy) {
	p.NeverReady, p.MaxSession, p.MaxAge = 10*time.Minute, time.Hour, 2*time.Hour
	p.StartTimeout = time.Hour
}

// emptied has had its players.
func (l *life) emptied() {
	l.racing()
	l.plays(sidecar.Lobby)
	l.here()
}

func (l *life) drain() { l.does(sidecar.Drain{Reason: "asked"}) }

func (l *life) overflows() {
	l.agones.Labels = map[string]string{"pitcrew.dev/overflow": "true"}
	l.does(sidecar.Seen{GameServer: l.agones})
}

// row is one transition: what leads there, and then what takes it.
type row struct {
	way    taken
	policy func(*sidecar.Policy)
	before func(*life)
	takes  func(*life)
}

var ways = []row{
	{taken{"booting", "waiting", "serves"}, nil, func(l *life) { l.becomes(sidecar.Scheduled) }, (*life).serve},
	{taken{"booting", "expecting", "found allocated"}, nil, func(*life) {}, func(l *life) { l.becomes(sidecar.Allocated) }},
	{taken{"booting", "leaving", "never ready"}, limits, func(l *life) { l.becomes(sidecar.Scheduled) }, func(l *life) { l.pass(11*time.Minute, true) }},
	{taken{"waiting", "expecting", "allocated"}, nil, (*life).ready, func(l *life) { l.becomes(sidecar.Allocated) }},
	{taken{"waiting", "leaving", "too old"}, limits, (*life).ready, func(l *life) { l.pass(2*time.Hour, true) }},
	{taken{"waiting", "playing", "players came back"}, backToPool, func(l *life) { l.emptied(); l.pass(time.Minute, true) }, func(l *life) { l.here("c") }},
	{taken{"expecting", "playing", "players are there"}, nil, (*life).allocated, func(l *life) { l.here("a") }},
	{taken{"expecting", "leaving", "nobody joined"}, nil, (*life).allocated, func(l *life) { l.pass(3*time.Minute, true) }},
	{taken{"expecting", "waiting", "nobody joined, back to the pool"}, backToPool, (*life).allocated, func(l *life) { l.pass(3*time.Minute, true) }},
	{taken{"playing", "emptied", "all players left"}, nil, (*life).racing, func(l *life) { l.here() }},
	{taken{"emptied", "playing", "players are there"}, nil, (*life).emptied, func(l *life) { l.here("a") }},
	{taken{"emptied", "expecting", "allocated again"}, nil, (*life).emptied, func(l *life) { l.pass(time.Second, true); l.becomes(sidecar.Allocated) }},
	{taken{"emptied", "leaving", "empty"}, nil, (*life).emptied, func(l *life) { l.pass(time.Minute, true) }},
	{taken{"emptied", "waiting", "empty, back to the pool"}, backToPool, (*life).emptied, func(l *life) { l.pass(time.Minute, true) }},

	{taken{"expecting", "draining", "allocation overflow"}, nil, (*life).allocated, (*life).overflows},
	{taken{"playing", "draining", "allocation overflow"}, nil, (*life).racing, (*life).overflows},
	{taken{"emptied", "draining", "allocation overflow"}, nil, (*life).emptied, (*life).overflows},
	{taken{"expecting", "draining", "session limit"}, func(p *sidecar.Policy) { limits(p); p.JoinTimeout = 0 }, (*life).allocated, func(l *life) { l.pass(time.Hour, true) }},
	{taken{"playing", "draining", "session limit"}, limits, (*life).racing, func(l *life) { l.pass(time.Hour, true) }},
	{taken{"emptied", "draining", "session limit"}, func(p *sidecar.Policy) { limits(p); p.EmptyGrace = 2 * time.Hour }, (*life).emptied, func(l *life) { l.pass(time.Hour, true) }},
	{taken{"booting", "draining", "drain asked for"}, nil, func(l *life) { l.becomes(sidecar.Scheduled) }, (*life).drain},
	{taken{"waiting", "draining", "drain asked for"}, nil, (*life).ready, (*life).drain},
	{taken{"expecting", "draining", "drain asked for"}, nil, (*life).allocated, (*life).drain},
	{taken{"playing", "draining", "drain asked for"}, nil, (*life).racing, (*life).drain},
	{taken{"emptied", "draining", "drain asked for"}, nil, (*life).emptied, (*life).drain},
	{taken{"booting", "draining", "the GameServer is being deleted or over"}, nil, func(l *life) { l.becomes(sidecar.Scheduled) }, (*life).deleted},
	{taken{"waiting", "draining", "the GameServer is being deleted or over"}, nil, (*life).ready, (*life).deleted},
	{taken{"expecting", "draining", "the GameServer is being deleted or over"}, nil, (*life).allocated, (*life).deleted},
	{taken{"playing", "draining", "the GameServer is being deleted or over"}, nil, (*life).racing, func(l *life) { l.becomes(sidecar.Unhealthy) }},
	{taken{"emptied", "draining", "the GameServer is being deleted or over"}, nil, (*life).emptied, (*life).deleted},

	{taken{"draining", "leaving", "nobody is there"}, nil, func(l *life) { l.racing(); l.drain() }, func(l *life) { l.here() }},
	{taken{"draining", "leaving", "the match is over"}, nil, func(l *life) { l.racing(); l.drain() }, func(l *life) { l.plays(sidecar.Lobby); l.pass(16*time.Second, true) }},
	{taken{"draining", "leaving", "the next match would begin"}, nil, func(l *life) { l.racing(); l.drain() }, func(l *life) {
		l.pass(time.Second, true)
		l.plays(sidecar.MatchStarting)
	}},
	{taken{"draining", "leaving", "drain deadline"}, nil, func(l *life) { l.racing(); l.drain() }, func(l *life) { l.pass(11*time.Minute, true) }},
	{taken{"leaving", "expecting", "allocated in the same moment"}, limits, func(l *life) { l.ready(); l.pass(2*time.Hour, true) }, func(l *life) { l.becomes(sidecar.Allocated) }},
	{taken{"leaving", "over", "the GameServer is over"}, nil, func(l *life) { l.emptied(); l.pass(time.Minute, true) }, func(l *life) { l.becomes(sidecar.Shutdown) }},

	{taken{"booting", "over", "the game exited"}, nil, func(l *life) { l.becomes(sidecar.Scheduled) }, (*life).exits},
	{taken{"waiting", "over", "the game exited"}, nil, (*life).ready, (*life).exits},
	{taken{"expecting", "over", "the game exited"}, nil, (*life).allocated, (*life).exits},
	{taken{"playing", "over", "the game exited"}, nil, (*life).racing, (*life).exits},
	{taken{"emptied", "over", "the game exited"}, nil, (*life).emptied, (*life).exits},
	{taken{"draining", "over", "the game exited"}, nil, func(l *life) { l.racing(); l.drain() }, (*life).exits},
	{taken{"leaving", "over", "the game exited"}, nil, func(l *life) { l.emptied(); l.pass(time.Minute, true) }, (*life).exits},
}

func (l *life) deleted() {
	l.agones.Deleting = true
	l.does(sidecar.Seen{GameServer: l.agones})
}

func (l *life) exits() { l.does(sidecar.Exited{Reason: "exit status 0"}) }

func TestEveryTransition(t *testing.T) {
	for _, w := range ways {
		var changes []func(*sidecar.Policy)
		if w.policy != nil {
			changes = append(changes, w.policy)
		}
		l := newLife(t, changes...)
		w.before(l)
		if l.s.Phase != w.way.from && l.s.Phase != "" {
			t.Errorf("%v: begins in the phase %s", w.way, l.s.Phase)
			continue
		}
		l.actions = nil
		w.takes(l)
		entered := collect[sidecar.Enter](l.actions)
		if len(entered) == 0 {
			t.Errorf("%v: the phase stays %s", w.way, l.s.Phase)
			continue
		}
		got := taken{entered[0].From, entered[0].To, entered[0].Reason}
		if got.reason == "asked" {
			got.reason = "drain asked for"
		}
		if got != w.way {
			t.Errorf("%v: it went %v", w.way, got)
		}
	}
}

// The table above has all the ways that the diagram has, which is drawn from the machine's own table.
func TestNoTransitionIsMissing(t *testing.T) {
	has := func(from, to, reason string) bool {
		return slices.ContainsFunc(ways, func(w row) bool {
			return (from == "any" || string(w.way.from) == from) && string(w.way.to) == to && w.way.reason == reason
		})
	}
	drawn := regexp.MustCompile(`(?m)^    (\w+) --> (\w+): (.*)$`).FindAllStringSubmatch(sidecar.Diagram(), -1)
	if len(drawn) < 25 {
		t.Fatalf("the diagram has %d ways", len(drawn))
	}
	for _, d := range drawn {
		if !has(d[1], d[2], d[3]) {
			t.Errorf("no row for %s --> %s: %s", d[1], d[2], d[3])
		}
	}
}
