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

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pitcrew-dev/pitcrew/internal/metricstest"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/ops"
)

// fixed is an agent whose status is what it is.
type fixed agent.Status

func (f *fixed) Status() agent.Status { return agent.Status(*f) }

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func page(t *testing.T) string {
	t.Helper()
	r := prometheus.NewRegistry()
	m := ops.NewMetrics(r)
	a := &fixed{
		Observed: true, Players: 3, Bandwidth: 10 << 20, DiskFree: 5e9, DiskTotal: 1e10, DiskFloor: 1.7e9,
		Phases: map[string]agent.Bytes{warmer.PhaseAssets: {Wanted: 600e6, Present: 600e6}, warmer.PhaseCode: {Wanted: 9e6, Present: 4e6}},
		Images: []agent.ImageStatus{
			{Want: warmer.Want{Ref: "r.test/game:1", Layers: warmer.All}, State: agent.Warm},
			{Want: warmer.Want{Ref: "r.test/game:2", Layers: warmer.Assets, Platform: "linux/arm64"}, State: agent.Failed, Err: &warmer.RegistryError{Status: 403}},
			{Want: warmer.Want{Ref: "any\xfftext\n" + strings.Repeat("x", 500), Layers: warmer.All}, State: agent.Resolving},
			{Want: warmer.Want{Ref: "any\xfftext\n" + strings.Repeat("x", 501), Layers: warmer.All}, State: agent.Resolving},
		},
	}
	ops.NewState(r, a)
	m.Done(warmer.Action{Do: warmer.Fetch}, warmer.PhaseAssets, 500e6, 4*time.Second, nil)
	m.Done(warmer.Action{Do: warmer.Fetch}, warmer.PhaseCode, 4e6, time.Second, &warmer.RegistryError{Status: 503})
	m.Done(warmer.Action{Do: warmer.Unpack}, warmer.PhaseAssets, 500e6, 2*time.Second, nil)
	for _, err := range []error{&warmer.DigestError{}, &agent.DiskError{}, warmer.ErrNotFound, warmer.ErrNotSupported, context.Canceled, errors.New("x")} {
		m.Done(warmer.Action{Do: warmer.Resolve}, "", 0, 0, err)
	}
	m.Warm("", 6*time.Second, map[string]int64{warmer.PhaseAssets: 100e6})
	m.Lost("")
	m.Started("", true, 709e6)
	m.Started("", false, 0)
	m.Retried("r.test", "503")
	m.Throttled(1500 * time.Millisecond)
	_, body := get(t, ops.Handler(a, r, time.Minute), "/metrics")
	return body
}

func TestTheMetricsPage(t *testing.T) { metricstest.Check(t, page(t), "pitcrew_warmer_") }

func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &fixed{}
		h := ops.Handler(a, prometheus.NewRegistry(), time.Minute)
		want := func(path string, code int) {
			t.Helper()
			if got, body := get(t, h, path); got != code {
				t.Errorf("GET %s = %d %s, want %d", path, got, body, code)
			}
		}
		want("/healthz", 200)
		want("/readyz", 503)
		a.At, a.Observed = time.Now(), true
		want("/readyz", 200)
		want("/status", 200)
		time.Sleep(2 * time.Minute)
		want("/healthz", 503)
	})
}

func TestStatusIsJSON(t *testing.T) {
	a := &fixed{Images: []agent.ImageStatus{{
		Want: warmer.Want{Ref: "r.test/game:1", Layers: warmer.All}, Key: "x", State: agent.Failed, Error: "denied", Err: warmer.ErrDenied,
		Bytes: agent.Bytes{Wanted: 5, Present: 3}, Phases: map[string]agent.Bytes{"assets": {Wanted: 5, Present: 3}},
	}}}
	_, body := get(t, ops.Handler(a, prometheus.NewRegistry(), time.Minute), "/status")
	var got struct {
		Images []struct {
			Ref, State, Error string
			Wanted, Present   int64
			Phases            map[string]struct{ Wanted int64 }
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Images) != 1 || got.Images[0].Ref != "r.test/game:1" || got.Images[0].State != "failed" || got.Images[0].Present != 3 || got.Images[0].Phases["assets"].Wanted != 5 {
		t.Errorf("/status = %s", body)
	}
}
