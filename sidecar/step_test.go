package sidecar_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// life plays events into the state machine and keeps what comes out.
type life struct {
	t       *testing.T
	p       sidecar.Policy
	s       sidecar.State
	now     time.Time
	agones  sidecar.GameServer
	actions []sidecar.Action
}

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newLife(t *testing.T, change ...func(*sidecar.Policy)) *life {
	t.Helper()
	l := &life{t: t, p: sidecar.DefaultPolicy(), now: start, agones: sidecar.GameServer{
		State: sidecar.Scheduled, Annotations: map[string]string{}, Labels: map[string]string{},
		Lists:    map[string]sidecar.List{"players": {Capacity: 8}},
		Counters: map[string]sidecar.Counter{"races": {Capacity: 1000}},
		Health:   sidecar.HealthSettings{Period: 5 * time.Second, FailureThreshold: 3},
	}}
	for _, f := range change {
		f(&l.p)
	}
	if err := l.p.Validate(); err != nil {
		t.Fatal(err)
	}
	return l
}

// does sends an event and returns what is done about it.
func (l *life) does(what sidecar.Happening) []sidecar.Action {
	var actions []sidecar.Action
	l.s, actions = l.p.Step(l.s, sidecar.Event{At: l.now, What: what})
	l.actions = append(l.actions, actions...)
	return actions
}

// pass lets time pass, second by second, with a game that lives or not.
func (l *life) pass(d time.Duration, alive bool) {
	for end := l.now.Add(d); l.now.Before(end); {
		l.now = l.now.Add(time.Second)
		if alive {
			l.does(sidecar.Alive{By: sidecar.Answer})
		}
		l.does(sidecar.Tick{})
	}
}

// becomes shows the GameServer in another state.
func (l *life) becomes(state sidecar.AgonesState) {
	l.agones.State = state
	if state == sidecar.Allocated {
		l.agones.Annotations = map[string]string{sidecar.LastAllocated: l.now.Format(time.RFC3339Nano)}
	}
	l.does(sidecar.Seen{GameServer: l.agones})
}

// here says which players the game has.
func (l *life) here(ids ...string) {
	var players []sidecar.Player
	for _, id := range ids {
		players = append(players, sidecar.Player{ID: sidecar.IDPrefix + id, Name: id})
	}
	l.does(sidecar.Here{Players: players, Count: len(players)})
}

func (l *life) plays(m sidecar.Match) { l.does(sidecar.Plays{Match: m, Track: "abyss", Mode: "race"}) }

// serve brings the game up: it serves, and nobody is there.
func (l *life) serve() {
	l.does(sidecar.Alive{By: sidecar.Answer})
	l.does(sidecar.Serves{Now: true})
	l.here()
	l.plays(sidecar.Lobby)
}

// ready brings it into the pool.
func (l *life) ready() {
	l.becomes(sidecar.Scheduled)
	l.serve()
	l.becomes(sidecar.RequestReady)
	l.becomes(sidecar.Ready)
}

// allocated has a matchmaker claim it.
func (l *life) allocated() {
	l.ready()
	l.pass(10*time.Second, true)
	l.becomes(sidecar.Allocated)
}

// racing has two players race.
func (l *life) racing() {
	l.allocated()
	l.here("a", "b")
	l.plays(sidecar.Racing)
}

func (l *life) wantPhase(want sidecar.Phase) {
	l.t.Helper()
	if l.s.Phase != want {
		l.t.Errorf("phase = %s, want %s; %v", l.s.Phase, want, l.phases())
	}
}

// phases are those entered, in order.
func (l *life) phases() []sidecar.Phase {
	var out []sidecar.Phase
	for _, e := range collect[sidecar.Enter](l.actions) {
		out = append(out, e.To)
	}
	return out
}

// moves are the states that Agones was asked for, in order.
func (l *life) moves() []sidecar.AgonesState {
	var out []sidecar.AgonesState
	for _, m := range collect[sidecar.Move](l.actions) {
		if m.Transition != nil {
			out = append(out, m.Transition.To)
		}
	}
	return out
}

func collect[T sidecar.Action](actions []sidecar.Action) []T {
	var out []T
	for _, a := range actions {
		if x, ok := a.(T); ok {
			out = append(out, x)
		}
	}
	return out
}

func (l *life) last() sidecar.Metadata {
	l.t.Helper()
	said := collect[sidecar.Assert](l.actions)
	if len(said) == 0 {
		l.t.Fatal("nothing was asserted")
	}
	return said[len(said)-1].Metadata
}

func shutDown(t *testing.T, l *life) {
	t.Helper()
	l.wantPhase(sidecar.Leaving)
	if moves := l.moves(); len(moves) == 0 || moves[len(moves)-1] != sidecar.Shutdown {
		t.Errorf("asked for %v, want Shutdown in the end", moves)
	}
}

func TestAWholeLife(t *testing.T) {
	l := newLife(t)
	l.racing()
	l.pass(time.Minute, true)
	l.does(sidecar.RacesEnded{Total: 1})
	l.plays(sidecar.Lobby)
	l.here()
	l.pass(31*time.Second, true)
	l.becomes(sidecar.Shutdown)
	want := []sidecar.Phase{"waiting", "expecting", "playing", "emptied", "leaving", "over"}
	if diff := cmp.Diff(want, l.phases()); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]sidecar.AgonesState{sidecar.Ready, sidecar.Shutdown}, l.moves()); diff != "" {
		t.Errorf("transitions (-want +got):\n%s", diff)
	}
	if got := l.last().Counters["races"]; got != 1 {
		t.Errorf("counter races = %d, want 1", got)
	}
}

func TestReadyWaitsForTheGame(t *testing.T) {
	l := newLife(t)
	l.becomes(sidecar.Scheduled)
	l.does(sidecar.Alive{By: sidecar.Log})
	l.pass(time.Minute, false)
	if len(l.moves()) != 0 {
		t.Fatalf("asked for %v before the game serves", l.moves())
	}
	l.serve()
	if diff := cmp.Diff([]sidecar.AgonesState{sidecar.Ready}, l.moves()); diff != "" {
		t.Errorf("transitions (-want +got):\n%s", diff)
	}
}

func TestReadyWaitsForAgones(t *testing.T) {
	l := newLife(t)
	l.serve()
	l.pass(time.Minute, true)
	l.wantPhase(sidecar.Booting)
	l.becomes(sidecar.Scheduled)
	l.wantPhase(sidecar.Waiting)
	if len(l.moves()) != 1 {
		t.Errorf("asked for %v, want Ready", l.moves())
	}
}

func TestAGameOnAnotherPortIsNeverReady(t *testing.T) {
	l := newLife(t)
	l.becomes(sidecar.Scheduled)
	l.does(sidecar.Faulty{Reason: "listens on 50269 instead of 2759"})
	l.serve()
	l.actions = nil
	l.pass(10*time.Minute, true)
	if len(l.moves()) != 0 || len(collect[sidecar.Ping](l.actions)) != 0 {
		t.Errorf("asked for %v, %d pings; want neither", l.moves(), len(collect[sidecar.Ping](l.actions)))
	}
	if w := collect[sidecar.Withhold](l.actions); len(w) == 0 || w[0].Reason != sidecar.WrongPort {
		t.Errorf("withheld = %v, want the reason %q", w, sidecar.WrongPort)
	}
}

func TestPingsAreEarned(t *testing.T) {
	l := newLife(t)
	l.ready()
	l.pass(time.Minute, true)
	if n := len(collect[sidecar.Ping](l.actions)); n < 20 || n > 31 {
		t.Errorf("%d pings in a minute, want one every 2.5 s or a little less often", n)
	}
	silentSince := l.now
	var lastPing time.Time
	for range 60 {
		l.now = l.now.Add(time.Second)
		if acts := l.does(sidecar.Tick{}); len(collect[sidecar.Ping](acts)) > 0 {
			lastPing = l.now
		}
	}
	if window := lastPing.Sub(silentSince); window > 8*time.Second {
		t.Errorf("pings went on for %s after the last sign of life", window)
	}
	l.actions = nil
	l.pass(5*time.Second, true)
	if len(collect[sidecar.Ping](l.actions)) == 0 {
		t.Error("no ping although the game lives again")
	}
}

func TestAnySignalIsASignOfLife(t *testing.T) {
	for _, by := range []sidecar.Signal{sidecar.Answer, sidecar.Socket, sidecar.Log} {
		l := newLife(t)
		l.ready()
		l.actions = nil
		for range 60 {
			l.now = l.now.Add(time.Second)
			l.does(sidecar.Alive{By: by})
		}
		if w := collect[sidecar.Withhold](l.actions); len(w) > 0 {
			t.Errorf("with %s alone: %d pings withheld: %v", by, len(w), w[0])
		}
	}
}

func TestBootingIsBoundedInTime(t *testing.T) {
	l := newLife(t)
	l.becomes(sidecar.Scheduled)
	l.pass(2*time.Minute-time.Second, false)
	if w := collect[sidecar.Withhold](l.actions); len(w) > 0 {
		t.Errorf("pings withheld while the game may boot: %v", w)
	}
	l.actions = nil
	l.pass(10*time.Minute, false)
	if n := len(collect[sidecar.Ping](l.actions)); n > 0 {
		t.Errorf("%d pings after the time to boot", n)
	}
}

func TestASidecarThatStartsLaterGivesAMuteGameNoTimeToBoot(t *testing.T) {
	l := newLife(t)
	l.becomes(sidecar.Ready)
	l.pass(time.Minute, false)
	if n := len(collect[sidecar.Ping](l.actions)); n > 4 {
		t.Errorf("%d pings for a game that was ready once and is mute", n)
	}
}

func TestNobodyJoins(t *testing.T) {
	l := newLife(t)
	l.allocated()
	l.pass(119*time.Second, true)
	l.wantPhase(sidecar.Expecting)
	l.pass(2*time.Second, true)
	shutDown(t, l)
}

func TestNobodyJoinsAndTheServerGoesBack(t *testing.T) {
	l := newLife(t, func(p *sidecar.Policy) { p.WhenUnjoined = sidecar.BackToPool })
	l.allocated()
	stamp := l.agones.LastAllocated()
	l.pass(121*time.Second, true)
	l.wantPhase(sidecar.Waiting)
	moves := collect[sidecar.Move](l.actions)
	last := moves[len(moves)-1].Transition
	want := &sidecar.Transition{To: sidecar.Ready, From: []sidecar.AgonesState{sidecar.Allocated}, LastAllocated: stamp}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("transition (-want +got):\n%s", diff)
	}
	l.becomes(sidecar.Ready)
	l.pass(10*time.Second, true)
	l.becomes(sidecar.Allocated)
	l.wantPhase(sidecar.Expecting)
}

func TestAnEmptyServerWaitsForItsPlayersToComeBack(t *testing.T) {
	l := newLife(t)
	l.racing()
	l.here()
	l.pass(29*time.Second, true)
	l.here("a")
	l.wantPhase(sidecar.Playing)
	l.here()
	l.pass(31*time.Second, true)
	shutDown(t, l)
}

func TestAnEmptyServerGoesBackOnlyFromTheLobby(t *testing.T) {
	l := newLife(t, func(p *sidecar.Policy) { p.WhenEmpty = sidecar.BackToPool })
	l.racing()
	l.here()
	l.pass(10*time.Minute, true)
	l.wantPhase(sidecar.Emptied)
	l.plays(sidecar.Lobby)
	l.wantPhase(sidecar.Waiting)
	l.here("a") // before Agones moved it
	l.wantPhase(sidecar.Playing)
}

func TestAnEmptyServerThatIsAllocatedAgainExpectsPlayers(t *testing.T) {
	l := newLife(t)
	l.racing()
	l.here()
	l.pass(29*time.Second, true)
	l.becomes(sidecar.Allocated)
	l.pass(time.Minute, true)
	l.wantPhase(sidecar.Expecting)
}

func TestTheFirstPlayerClaimsOnlyWhereThatWasAskedFor(t *testing.T) {
	for claim, want := range map[sidecar.Claim][]sidecar.AgonesState{
		sidecar.ByMatchmaker: {sidecar.Ready},
		sidecar.ByPlayer:     {sidecar.Ready, sidecar.Allocated},
	} {
		l := newLife(t, func(p *sidecar.Policy) { p.Allocation = claim })
		l.ready()
		l.here("a")
		if diff := cmp.Diff(want, l.moves()); diff != "" {
			t.Errorf("%s: transitions (-want +got):\n%s", claim, diff)
		}
	}
}

func TestADrainWaitsForTheRace(t *testing.T) {
	l := newLife(t)
	l.racing()
	l.does(sidecar.Drain{Reason: "preStop"})
	l.pass(5*time.Minute, true)
	l.wantPhase(sidecar.Draining)
	if got := l.last().Annotations[sidecar.SessionState]; got != "closed" {
		t.Errorf("session-state = %q, want closed", got)
	}
	l.plays(sidecar.Lobby)
	l.pass(14*time.Second, true)
	l.wantPhase(sidecar.Draining)
	l.pass(2*time.Second, true)
	shutDown(t, l)
	if e := collect[sidecar.Enter](l.actions); e[len(e)-1].CutOff != 0 {
		t.Errorf("%d players were cut off, want none", e[len(e)-1].CutOff)
	}
	if len(collect[sidecar.Release](l.actions)) == 0 {
		t.Error("whoever waits for the drain was not released")
	}
}

func TestADrainDoesNotLetTheNextMatchBegin(t *testing.T) {
	for name, until := range map[string][]sidecar.Match{
		"after a look at the lobby": {sidecar.Lobby, sidecar.MatchStarting}, "at once": {sidecar.MatchStarting},
	} {
		l := newLife(t)
		l.racing()
		l.does(sidecar.Drain{Reason: "preStop"})
		for _, m := range until {
			l.wantPhase(sidecar.Draining)
			l.pass(2*time.Second, true)
			l.plays(m)
		}
		if l.s.Phase != sidecar.Leaving {
			t.Errorf("%s: phase = %s, want leaving", name, l.s.Phase)
		}
		if e := collect[sidecar.Enter](l.actions); e[len(e)-1].CutOff != 0 {
			t.Errorf("%s: %d players were cut off, want none: no kart had gone", name, e[len(e)-1].CutOff)
		}
	}
}

func TestADrainEndsAtItsDeadlineAndCountsWhomItCutOff(t *testing.T) {
	l := newLife(t)
	l.racing()
	l.does(sidecar.Drain{Reason: "SIGTERM", By: l.now.Add(30 * time.Second)})
	l.pass(29*time.Second, true)
	l.wantPhase(sidecar.Draining)
	l.pass(time.Second, true)
	shutDown(t, l)
	if e := collect[sidecar.Enter](l.actions); e[len(e)-1].CutOff != 2 {
		t.Errorf("%d players were cut off, want 2", e[len(e)-1].CutOff)
	}
}

func TestADrainOfAnEmptyServerIsOverAtOnce(t *testing.T) {
	for name, prepare := range map[string]func(*life){
		"booting": func(l *life) { l.becomes(sidecar.Scheduled) },
		"waiting": (*life).ready, "expecting": (*life).allocated,
	} {
		l := newLife(t)
		prepare(l)
		l.does(sidecar.Drain{Reason: "preStop"})
		if l.s.Phase != sidecar.Leaving {
			t.Errorf("%s: phase = %s, want leaving", name, l.s.Phase)
		}
	}
}

func TestADeletedServerPlaysItsRaceToTheEnd(t *testing.T) {
	l := newLife(t)
	l.racing()
	l.actions = nil
	l.agones.Deleting = true
	l.becomes(sidecar.Allocated)
	l.pass(time.Minute, true)
	l.wantPhase(sidecar.Draining)
	l.here()
	l.wantPhase(sidecar.Over)
	if len(l.moves()) != 0 {
		t.Errorf("asked for %v of a GameServer that is being deleted", l.moves())
	}
	if len(collect[sidecar.Release](l.actions)) == 0 {
		t.Error("whoever waits for the drain was not released")
	}
}

func TestOverflowEndsTheServerAfterTheMatch(t *testing.T) {
	for _, in := range []string{"label", "annotation"} {
		l := newLife(t)
		l.racing()
		if in == "label" {
			l.agones.Labels = map[string]string{"pitcrew.dev/overflow": "true"}
		} else {
			l.agones.Annotations["pitcrew.dev/overflow"] = ""
		}
		l.does(sidecar.Seen{GameServer: l.agones})
		l.pass(time.Minute, true)
		l.wantPhase(sidecar.Draining)
		l.here()
		shutDown(t, l)
	}
}

func TestLimits(t *testing.T) {
	l := newLife(t, func(p *sidecar.Policy) { p.MaxSession = time.Hour })
	l.racing()
	l.pass(time.Hour+time.Second, true)
	l.wantPhase(sidecar.Draining)

	l = newLife(t, func(p *sidecar.Policy) { p.MaxAge = time.Hour })
	l.ready()
	l.pass(time.Hour+time.Second, true)
	shutDown(t, l)
	moves := collect[sidecar.Move](l.actions)
	if from := moves[len(moves)-1].Transition.From; slices.Contains(from, sidecar.Allocated) || len(from) == 0 {
		t.Errorf("Shutdown of a server nobody claimed leaves from %v: it must spare one that was just allocated", from)
	}
	l.becomes(sidecar.Allocated)
	l.wantPhase(sidecar.Expecting)

	l = newLife(t, func(p *sidecar.Policy) { p.NeverReady = 5 * time.Minute })
	l.becomes(sidecar.Scheduled)
	l.pass(5*time.Minute+time.Second, true)
	shutDown(t, l)
}

func TestNothingIsDoneAfterTheEnd(t *testing.T) {
	l := newLife(t)
	l.racing()
	l.does(sidecar.Exited{Reason: "exit status 1"})
	l.wantPhase(sidecar.Over)
	l.actions = nil
	l.pass(time.Hour, true)
	l.becomes(sidecar.Ready)
	l.does(sidecar.Drain{Reason: "late"})
	if len(l.actions) != 0 {
		t.Errorf("actions after the end: %v", l.actions)
	}
}

// restart is a sidecar that dies and starts again: only what the GameServer says is left.
func (l *life) restart() *life {
	n := newLife(l.t)
	n.p, n.now, n.agones = l.p, l.now.Add(3*time.Second), l.agones
	m := l.last()
	n.agones.Annotations = map[string]string{sidecar.LastAllocated: l.agones.LastAllocated()}
	for k, v := range m.Annotations {
		n.agones.Annotations[sidecar.SDKPrefix+k] = v
	}
	n.agones.Lists = map[string]sidecar.List{"players": {Capacity: 8, Values: m.Lists["players"].Present}}
	n.agones.Counters = map[string]sidecar.Counter{"races": {Count: m.Counters["races"], Capacity: 1000}}
	return n
}

func TestASidecarThatStartsAgainGoesOn(t *testing.T) {
	l := newLife(t)
	l.racing()
	l.does(sidecar.RacesEnded{Total: 3})
	l.pass(5*time.Minute, true)
	n := l.restart()
	n.does(sidecar.Seen{GameServer: n.agones})
	n.wantPhase(sidecar.Playing)
	n.pass(20*time.Second, true) // before the game is understood
	n.wantPhase(sidecar.Playing)
	n.does(sidecar.Serves{Now: true})
	n.plays(sidecar.Racing)
	n.here("a", "b")
	n.pass(time.Minute, true)
	n.wantPhase(sidecar.Playing)
	if len(n.moves()) != 0 {
		t.Errorf("asked for %v in the middle of a match", n.moves())
	}
	if !n.s.SessionSince.Equal(l.s.SessionSince) || !n.s.Started.Equal(l.s.Started) || n.s.Races != 3 {
		t.Errorf("clocks = %s, %s, races %d; want %s, %s, 3", n.s.SessionSince, n.s.Started, n.s.Races, l.s.SessionSince, l.s.Started)
	}
	if goal := n.last().Lists["players"]; len(goal.Absent) != 0 || len(goal.Present) != 2 {
		t.Errorf("list = %+v, want both players and nobody taken out", goal)
	}
}

func TestADrainOutlivesTheSidecar(t *testing.T) {
	l := newLife(t)
	l.racing()
	l.does(sidecar.Drain{Reason: "preStop"})
	l.pass(time.Minute, true)
	n := l.restart()
	n.does(sidecar.Seen{GameServer: n.agones})
	n.wantPhase(sidecar.Draining)
	if !n.s.DrainBy.Equal(l.s.DrainBy) {
		t.Errorf("deadline = %s, want %s", n.s.DrainBy, l.s.DrainBy)
	}
}

func TestAMemoryThatIsNoneIsIgnored(t *testing.T) {
	for _, raw := range []string{
		"", "{", `{"phase":"leaving","since":"2026-11-24T11:00:00Z","started":"2026-11-24T11:00:00Z"}`,
		`{"phase":"playing","since":"2126-11-24T11:00:00Z","started":"2026-11-24T11:00:00Z"}`, `[]`, `{"phase":5}`,
	} {
		l := newLife(t)
		l.agones.State = sidecar.Allocated
		l.agones.Annotations = map[string]string{sidecar.LastAllocated: "x", sidecar.SDKPrefix + sidecar.Memory: raw}
		l.does(sidecar.Seen{GameServer: l.agones})
		if l.s.Phase != sidecar.Expecting {
			t.Errorf("memory %q: phase = %s, want expecting, as the state says", raw, l.s.Phase)
		}
	}
}

func TestReservationsWaitForTheirPlayers(t *testing.T) {
	l := newLife(t)
	l.ready()
	l.agones.Lists = map[string]sidecar.List{"players": {Capacity: 8, Values: []string{"seat-1", "seat-2", "p-ghost"}}}
	l.becomes(sidecar.Allocated)
	if got := l.last().Lists["players"].Absent; !slices.Equal(got, []string{"p-ghost"}) {
		t.Errorf("taken out = %q, want only the ghost", got)
	}
	l.pass(10*time.Second, true)
	l.here("a")
	if got := l.last().Lists["players"]; !slices.Equal(got.Present, []string{"p-a"}) || !slices.Equal(got.Absent, []string{"p-ghost", "seat-1"}) {
		t.Errorf("list = %+v, want the player in place of the first reservation", got)
	}
	l.pass(time.Minute, true)
	if got := l.last().Lists["players"].Absent; !slices.Equal(got, []string{"p-ghost", "seat-1", "seat-2"}) {
		t.Errorf("taken out = %q, want the reservation that nobody came for, too", got)
	}
}

func TestWhatTheGameServerSays(t *testing.T) {
	l := newLife(t)
	l.racing()
	m := l.last()
	want := map[string]string{"players": "2", "track": "abyss", "mode": "race", "phase": "playing"}
	if diff := cmp.Diff(want, m.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if got := m.Annotations[sidecar.SessionState]; got != "accepting" {
		t.Errorf("session-state = %q, want accepting", got)
	}
	for track, want := range map[string]string{"": "none", "a b/c": "a-b-c", "-x-": "x", string(make([]byte, 100)): "none", "ünï": "n"} {
		l.does(sidecar.Plays{Match: sidecar.Racing, Track: track, Mode: "race"})
		if got := l.last().Labels["track"]; got != want {
			t.Errorf("label of track %q = %q, want %q", track, got, want)
		}
	}
}

func TestTheGamesOwnCountDecides(t *testing.T) {
	l := newLife(t)
	l.allocated()
	l.does(sidecar.Here{Players: []sidecar.Player{{ID: "p-a"}}, Count: 0})
	l.wantPhase(sidecar.Expecting)
	if l.s.Disagree.IsZero() {
		t.Error("the disagreement is not noted")
	}
	l.does(sidecar.Here{Players: []sidecar.Player{{ID: "p-a"}}, Count: 3})
	l.wantPhase(sidecar.Playing)
	l.does(sidecar.Here{Players: []sidecar.Player{{ID: "p-a"}}, Count: 1})
	if !l.s.Disagree.IsZero() {
		t.Error("the disagreement is still noted")
	}
}
