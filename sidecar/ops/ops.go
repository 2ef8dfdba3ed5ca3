// Package ops is what operators see of a sidecar: metrics, probes, its state as JSON, and the two ways to ask it for a drain.
// Player names and addresses are in none of it, and no label grows with what players do.
package ops

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// Machine is what is shown and asked.
type Machine interface {
	State() sidecar.State
	Tell(ctx context.Context, h sidecar.Happening)
	Released() <-chan struct{}
}

// Options are how a drain is asked for.
type Options struct {
	// Grace bounds how long /prestop waits altogether: a hook that hangs would take a pod's whole grace period.
	Grace time.Duration
	// Token, if not empty, has to be in the header "Authorization: Bearer TOKEN" of /prestop and /drain. Kubelet's hooks come
	// from outside of the pod, so that whatever can reach the port could else end the server.
	Token string
}

// Handler serves
//
//	GET  /metrics   Prometheus' text format
//	GET  /healthz   200 while this process runs
//	GET  /readyz    200 once the SDK server was reached
//	GET  /status    the state, as JSON
//	GET  /prestop   asks for a drain and answers when it is over: for the game container's preStop hook
//	POST /drain     asks for a drain and answers at once
//
// A drain's deadline is the policy's, or ?timeout=30s.
func Handler(m Machine, metrics prometheus.Gatherer, o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if m.State().Agones == nil {
			answer(w, http.StatusServiceUnavailable, "the SDK server was not reached yet")
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(statusOf(m.State(), time.Now())) // the client has gone
	})
	mux.HandleFunc("POST /drain", func(w http.ResponseWriter, r *http.Request) {
		if o.allowed(w, r) && drain(m, w, r, "POST /drain") {
			answer(w, http.StatusAccepted, "draining")
		}
	})
	mux.HandleFunc("GET /prestop", func(w http.ResponseWriter, r *http.Request) {
		if !o.allowed(w, r) || !drain(m, w, r, "preStop") {
			return
		}
		timer := time.NewTimer(o.Grace)
		defer timer.Stop()
		select {
		case <-m.Released():
			answer(w, http.StatusOK, "drained")
		case <-timer.C:
			answer(w, http.StatusGatewayTimeout, "not drained in time")
		case <-r.Context().Done():
		}
	})
	return mux
}

func (o Options) allowed(w http.ResponseWriter, r *http.Request) bool {
	if o.Token == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+o.Token)) == 1 {
		return true
	}
	answer(w, http.StatusUnauthorized, "the header Authorization: Bearer TOKEN is missing or wrong")
	return false
}

func answer(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n")) // the client has gone
}

func drain(m Machine, w http.ResponseWriter, r *http.Request, reason string) bool {
	d := sidecar.Drain{Reason: reason}
	if text := r.URL.Query().Get("timeout"); text != "" {
		timeout, err := time.ParseDuration(text)
		if err != nil || timeout <= 0 {
			answer(w, http.StatusBadRequest, "timeout: write a positive duration, such as 30s")
			return false
		}
		d.By = time.Now().Add(timeout)
	}
	m.Tell(r.Context(), d)
	return true
}

// status is the JSON document of /status. Durations are seconds.
type status struct {
	Phase        sidecar.Phase       `json:"phase"`
	PhaseSeconds float64             `json:"phaseSeconds"`
	AgeSeconds   float64             `json:"ageSeconds"`
	Agones       sidecar.AgonesState `json:"agonesState,omitempty"`
	Serving      bool                `json:"serving"`
	Fault        string              `json:"fault,omitempty"`
	Withheld     string              `json:"healthWithheld,omitempty"`
	Players      int                 `json:"players"`
	Named        int                 `json:"namedPlayers"`
	Match        sidecar.Match       `json:"match,omitempty"`
	Track        string              `json:"track,omitempty"`
	Mode         string              `json:"mode,omitempty"`
	Races        int64               `json:"races"`
	Session      string              `json:"session,omitempty"`
	Drain        string              `json:"drain,omitempty"`
	DrainBy      time.Time           `json:"drainBy,omitzero"`
	LastSignBy   sidecar.Signal      `json:"lastSignBy,omitempty"`
	LastSign     float64             `json:"lastSignSecondsAgo,omitempty"`
}

func statusOf(s sidecar.State, now time.Time) status {
	out := status{
		Phase: s.Phase, PhaseSeconds: now.Sub(s.Since).Seconds(), AgeSeconds: now.Sub(s.Started).Seconds(), Serving: s.Serving, Fault: s.Fault, Withheld: s.Withheld,
		Players: s.PlayersThere(), Named: len(s.Players), Match: s.Match, Track: s.Track, Mode: s.Mode, Races: s.Races,
		Session: s.Session, Drain: s.Drain, DrainBy: s.DrainBy,
	}
	if s.Agones != nil {
		out.Agones = s.Agones.State
	}
	if at, by := s.LastSign(); !at.IsZero() {
		out.LastSign, out.LastSignBy = now.Sub(at).Seconds(), by
	}
	return out
}
