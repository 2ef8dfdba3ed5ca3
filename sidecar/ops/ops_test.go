package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pitcrew-dev/pitcrew/internal/metricstest"
	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/ops"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

// machine is a state that is shown, and remembers what it was told.
type machine struct {
	state    sidecar.State
	told     []sidecar.Happening
	released chan struct{}
}

func (m *machine) State() sidecar.State                        { return m.state }
func (m *machine) Tell(_ context.Context, h sidecar.Happening) { m.told = append(m.told, h) }
func (m *machine) Released() <-chan struct{}                   { return m.released }
func get(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w.Code, w.Body.String()
}

// hostile is a player's name that must appear nowhere.
const hostile = "Mallory"

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// playing is a server in mid-race.
func playing() sidecar.State {
	return sidecar.State{
		Phase: sidecar.Playing, Since: start, Started: start.Add(-time.Minute), Serving: true, Served: true, Known: true, Count: 2,
		Players: []sidecar.Player{{ID: "p-1", Name: hostile}, {ID: "p-2", Name: hostile}},
		Match:   sidecar.Racing, Track: "lighthouse", Mode: "race", Races: 3, Session: "s",
		Reservations: map[string]time.Time{"someone": start},
		Signs:        map[sidecar.Signal]time.Time{sidecar.Answer: start.Add(time.Second)},
		Agones: &sidecar.GameServer{
			State: sidecar.Allocated, Lists: map[string]sidecar.List{"players": {Capacity: 8}},
		},
	}
}

// page is what /metrics shows after each metric was used.
func page(t *testing.T) string {
	t.Helper()
	r := prometheus.NewRegistry()
	m := ops.NewMetrics(r, "players")
	before := playing()
	before.Phase, before.Match, before.Races, before.Count, before.Agones = sidecar.Waiting, sidecar.Lobby, 0, 0, &sidecar.GameServer{State: sidecar.Ready}
	m.Did(before, sidecar.Ping{})
	m.Did(playing(), sidecar.Enter{From: sidecar.Waiting, To: sidecar.Playing, Reason: "players came back"})
	m.Did(playing(), sidecar.Withhold{Reason: sidecar.Silent})
	over := playing()
	over.Phase, over.Match, over.Disagree = sidecar.Leaving, sidecar.Lobby, start.Add(-4*time.Second)
	over.Signs = map[sidecar.Signal]time.Time{sidecar.Log: start.Add(91 * time.Second)}
	m.Did(over, sidecar.Enter{From: sidecar.Draining, To: sidecar.Draining, Reason: "a reason that a caller wrote"})
	m.Did(over, sidecar.Enter{From: sidecar.Draining, To: sidecar.Leaving, Reason: "drain deadline", CutOff: 2})
	m.Line(true)
	m.Line(false)
	m.Asked(3*time.Millisecond, nil)
	m.Asked(0, errors.New("no answer"))
	m.Socket(socket.Socket{Bound: true, Queued: 832, Drops: 5})
	m.Socket(socket.Socket{Bound: true, Queued: 0, Drops: 7})
	m.Called("Ready", "OK", 2*time.Millisecond)
	m.Called("Health", "Unavailable", time.Millisecond)
	m.Reopened("watch")
	code, body := get(t, ops.Handler(&machine{state: over}, r, ops.Options{Grace: time.Minute}), http.MethodGet, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("GET /metrics = %d", code)
	}
	return body
}

func TestTheMetricsPage(t *testing.T) {
	got := page(t)
	metricstest.Check(t, got, "pitcrew_sidecar_")
	if strings.Contains(got, hostile) || strings.Contains(got, "a caller wrote") {
		t.Error("what strangers write is on the page")
	}
}

func TestStatusIsForMachinesAndNamesNobody(t *testing.T) {
	code, body := get(t, ops.Handler(&machine{state: playing()}, prometheus.NewRegistry(), ops.Options{Grace: time.Minute}), http.MethodGet, "/status")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK {
		t.Fatalf("GET /status = %d %s: %v", code, body, err)
	}
	for key, want := range map[string]any{
		"phase": "playing", "agonesState": "Allocated", "serving": true, "players": 2.0, "namedPlayers": 2.0, "match": "racing", "track": "lighthouse",
		"races": 3.0, "lastSignBy": "answer",
	} {
		if got[key] != want {
			t.Errorf("%s = %v, want %v", key, got[key], want)
		}
	}
	if strings.Contains(body, hostile) {
		t.Error("/status has a player's name")
	}
}

func TestProbes(t *testing.T) {
	m := &machine{}
	h := ops.Handler(m, prometheus.NewRegistry(), ops.Options{Grace: time.Minute})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/nothing": 404} {
		if code, _ := get(t, h, http.MethodGet, path); code != want {
			t.Errorf("GET %s = %d, want %d", path, code, want)
		}
	}
	m.state = playing()
	if code, _ := get(t, h, http.MethodGet, "/readyz"); code != http.StatusOK {
		t.Errorf("GET /readyz = %d once the SDK server was reached, want 200", code)
	}
	if code, _ := get(t, h, http.MethodGet, "/drain"); code != http.StatusMethodNotAllowed {
		t.Errorf("GET /drain = %d: a link must not drain a server", code)
	}
}

func TestPreStopAnswersWhenTheDrainIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{released: make(chan struct{})}
		h := ops.Handler(m, prometheus.NewRegistry(), ops.Options{Grace: 10 * time.Minute})
		time.AfterFunc(3*time.Minute, func() { close(m.released) })
		begin := time.Now()
		code, body := get(t, h, http.MethodGet, "/prestop?timeout=5m")
		if took := time.Since(begin); code != http.StatusOK || took != 3*time.Minute {
			t.Errorf("GET /prestop = %d %s after %s, want 200 after 3m", code, body, took)
		}
		want := []sidecar.Happening{sidecar.Drain{Reason: "preStop", By: begin.Add(5 * time.Minute)}}
		if diff := cmp.Diff(want, m.told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestPreStopGivesUpBeforeThePodsGracePeriodIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := ops.Handler(&machine{}, prometheus.NewRegistry(), ops.Options{Grace: 10 * time.Minute})
		begin := time.Now()
		code, _ := get(t, h, http.MethodGet, "/prestop")
		if took := time.Since(begin); code != http.StatusGatewayTimeout || took != 10*time.Minute {
			t.Errorf("GET /prestop = %d after %s, want 504 after 10m", code, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/prestop", nil)) // kubelet goes away
	})
}

func TestDrainIsAskedForByHTTP(t *testing.T) {
	m := &machine{}
	h := ops.Handler(m, prometheus.NewRegistry(), ops.Options{Grace: time.Minute})
	if code, _ := get(t, h, http.MethodPost, "/drain"); code != http.StatusAccepted {
		t.Errorf("POST /drain = %d, want 202", code)
	}
	for _, bad := range []string{"soon", "-1s", "0s"} {
		if code, body := get(t, h, http.MethodPost, "/drain?timeout="+bad); code != http.StatusBadRequest || !strings.Contains(body, "30s") {
			t.Errorf("POST /drain?timeout=%s = %d %s, want 400 with an example", bad, code, body)
		}
	}
	if diff := cmp.Diff([]sidecar.Happening{sidecar.Drain{Reason: "POST /drain"}}, m.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestATokenKeepsStrangersFromDraining(t *testing.T) {
	m := &machine{released: make(chan struct{})}
	close(m.released)
	h := ops.Handler(m, prometheus.NewRegistry(), ops.Options{Grace: time.Minute, Token: "s3cret"})
	for _, c := range []struct {
		method, path, header string
		want                 int
	}{
		{http.MethodPost, "/drain", "", 401},
		{http.MethodGet, "/prestop", "Bearer wrong", 401},
		{http.MethodGet, "/prestop", "s3cret", 401},
		{http.MethodGet, "/healthz", "", 200},
		{http.MethodGet, "/prestop", "Bearer s3cret", 200},
		{http.MethodPost, "/drain", "Bearer s3cret", 202},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil)
		r.Header.Set("Authorization", c.header)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s with %q = %d, want %d", c.method, c.path, c.header, w.Code, c.want)
		}
	}
	if n := len(m.told); n != 2 {
		t.Errorf("%d drains were asked for, want 2", n)
	}
}
