// Package ops is what operators see of a warmer: metrics, probes, and its state as JSON. Labels are images that somebody
// wants, phases, and words from small sets: nothing that a registry says becomes one.
package ops

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pitcrew-dev/pitcrew/warmer/agent"
)

// Agent is what is shown.
type Agent interface {
	Status() agent.Status
}

// Handler serves
//
//	GET /metrics   Prometheus' text format
//	GET /healthz   200 while the agent goes on: 503 when it did nothing for longer than stuck
//	GET /readyz    200 once the node has been looked at
//	GET /status    the state, as JSON
func Handler(a Agent, metrics prometheus.Gatherer, stuck time.Duration) http.Handler {
	began := time.Now()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		last := a.Status().At
		if last.IsZero() {
			last = began
		}
		if time.Since(last) > stuck {
			answer(w, http.StatusServiceUnavailable, "nothing has happened since "+last.Format(time.RFC3339))
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.Status().Observed {
			answer(w, http.StatusServiceUnavailable, "the node was not looked at yet")
			return
		}
		answer(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a.Status()) // the client has gone
	})
	return mux
}

func answer(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n")) // the client has gone
}
