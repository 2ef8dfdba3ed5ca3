package sidecartest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/sidecartest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inBubble runs f with a server that has a list and a counter.
func inBubble(t *testing.T, f func(s *sidecartest.Server, do func(method, path, body string) (int, string))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sidecartest.New(sidecartest.Options{NoProbe: true, GameServer: sidecar.GameServer{
			Lists:    map[string]sidecar.List{"players": {Capacity: 2}},
			Counters: map[string]sidecar.Counter{"races": {Capacity: 10}},
		}})
		s.Start()
		defer s.Close()
		h := s.REST()
		f(s, func(method, path, body string) (int, string) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
			return w.Code, w.Body.String()
		})
	})
}

// later lets the SDK server write what it has queued.
func later() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

func TestRESTAnswersAsTheRealOneDoes(t *testing.T) {
	inBubble(t, func(s *sidecartest.Server, do func(string, string, string) (int, string)) {
		for _, c := range []struct {
			method, path, body string
			code               int
			says               string
		}{
			{"POST", "/health", "", 400, ""},
			{"POST", "/health", "{}", 200, "{}"},
			{"POST", "/ready", "{}", 200, "{}"},
			{"GET", "/gameserver", "", 200, `"object_meta"`},
			{"PUT", "/metadata/label", `{"key":"a","value":"b c"}`, 400, "label"},
			{"PUT", "/metadata/label", `{"key":"a","value":"b"}`, 200, "{}"},
			{"PUT", "/metadata/annotation", `{"key":"a","value":"b c"}`, 200, "{}"},
			{"GET", "/v1beta1/lists/players", "", 200, `"capacity":"2"`},
			{"GET", "/v1beta1/lists/nobody", "", 500, "list not found: nobody"},
			{"POST", "/v1beta1/lists/players:addValue", `{"value":"a"}`, 200, `"values":["a"]`},
			{"POST", "/v1beta1/lists/players:addValue", `{"value":"a"}`, 500, "already exists"},
			{"POST", "/v1beta1/lists/players:addValue", `{"value":"b"}`, 200, ""},
			{"POST", "/v1beta1/lists/players:addValue", `{"value":"c"}`, 500, "capacity"},
			{"POST", "/v1beta1/lists/players:removeValue", `{"value":"x"}`, 500, "not in list"},
			{"POST", "/v1beta1/lists/players:removeValue", `{"value":"a"}`, 200, `"values":["b"]`},
			{"POST", "/v1beta1/lists/players:shout", `{}`, 404, ""},
			{"PATCH", "/v1beta1/counters/races", `{"countDiff":"3"}`, 200, `"count":"3"`},
			{"PATCH", "/v1beta1/counters/races", `{"count":"11"}`, 500, "out of range"},
			{"PATCH", "/v1beta1/lists/players", `{"capacity":"5"}`, 500, "no gameservers for fleet"},
			{"POST", "/reserve", `{"seconds":"30"}`, 200, "{}"},
			{"POST", "/reserve", `{"seconds":`, 400, ""},
		} {
			code, body := do(c.method, c.path, c.body)
			if code != c.code || !strings.Contains(strings.ReplaceAll(body, " ", ""), strings.ReplaceAll(c.says, " ", "")) {
				t.Errorf("%s %s %s = %d %s, want %d with %q", c.method, c.path, c.body, code, body, c.code, c.says)
			}
		}
		later()
		if got := s.GameServer(); got.State != sidecar.Reserved || got.Counters["races"].Count != 3 || got.Lists["players"].Values[0] != "b" {
			t.Errorf("GameServer = %+v, want it Reserved, with what was asked for", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.GameServer().State; got != sidecar.Ready {
			t.Errorf("state = %s after the reservation, want Ready", got)
		}
	})
}

func TestReadyTakesAnAllocatedServerFromItsPlayers(t *testing.T) {
	inBubble(t, func(s *sidecartest.Server, do func(string, string, string) (int, string)) {
		do("POST", "/ready", "{}")
		later()
		if !s.Allocate(sidecartest.Allocation{AddValues: map[string][]string{"players": {"a", "b", "c"}}}) {
			t.Fatal("cannot allocate a Ready server")
		}
		if got := s.GameServer(); got.State != sidecar.Allocated || len(got.Lists["players"].Values) != 2 || got.LastAllocated() == "" {
			t.Errorf("GameServer = %+v, want it Allocated, with two of three values and a time stamp", got)
		}
		do("POST", "/ready", "{}")
		later()
		if got := s.GameServer().State; got != sidecar.Ready {
			t.Errorf("state = %s, want Ready: the real one does that", got)
		}
	})
}

func TestAnOverServerAnswersAndDoesNothing(t *testing.T) {
	inBubble(t, func(s *sidecartest.Server, do func(string, string, string) (int, string)) {
		s.Delete()
		for _, path := range []string{"/ready", "/allocate", "/shutdown"} {
			if code, _ := do("POST", path, "{}"); code != http.StatusOK {
				t.Errorf("POST %s = %d, want 200", path, code)
			}
		}
		later()
		if got := s.GameServer().State; got != sidecar.Scheduled {
			t.Errorf("state = %s, want Scheduled as before", got)
		}
		if s.Allocate(sidecartest.Allocation{}) {
			t.Error("a server that is being deleted was allocated")
		}
	})
}

func TestAnUnknownListInUpdateListKillsTheServer(t *testing.T) {
	inBubble(t, func(s *sidecartest.Server, do func(string, string, string) (int, string)) {
		do("PATCH", "/v1beta1/lists/nobody", `{}`)
		synctest.Wait()
		if code, _ := do("GET", "/gameserver", ""); code != http.StatusServiceUnavailable {
			t.Errorf("GET /gameserver = %d, want 503: the SDK server is dead", code)
		}
		s.Start()
		if code, _ := do("GET", "/gameserver", ""); code != http.StatusOK {
			t.Errorf("GET /gameserver = %d after the restart, want 200", code)
		}
	})
}

func TestTheRESTWatchWritesALineForEachChange(t *testing.T) {
	s := sidecartest.New(sidecartest.Options{NoProbe: true})
	s.Start()
	defer s.Close()
	web := httptest.NewServer(s.REST())
	defer web.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+"/watch/gameserver", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := json.NewDecoder(resp.Body)
	for i, want := range []string{"", "true"} {
		var line struct {
			Result struct {
				Meta struct{ Labels map[string]string } `json:"object_meta"`
			}
		}
		if err := lines.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if got := line.Result.Meta.Labels["overflow"]; got != want {
			t.Errorf("line %d: label = %q, want %q", i, got, want)
		}
		s.Overflow(map[string]string{"overflow": "true"}, nil)
	}
}

func FuzzREST(f *testing.F) {
	f.Add("POST", "/v1beta1/lists/players:addValue", []byte(`{"value":"a"}`))
	f.Add("PATCH", "/v1beta1/counters/races", []byte(`{"count":"9223372036854775807","countDiff":"1"}`))
	f.Add("PUT", "/metadata/label", []byte(`{"key":"","value":"\u0000"}`))
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		if method != "POST" && method != "PUT" && method != "PATCH" || !strings.HasPrefix(path, "/") || strings.Contains(path, "lists") && method == "PATCH" {
			t.Skip()
		}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://sdk"+path, io.NopCloser(bytes.NewReader(body)))
		if err != nil {
			t.Skip()
		}
		s := sidecartest.New(sidecartest.Options{NoProbe: true, GameServer: sidecar.GameServer{
			Lists:    map[string]sidecar.List{"players": {Capacity: 2}},
			Counters: map[string]sidecar.Counter{"races": {Capacity: 10}},
		}})
		s.Start()
		defer s.Close()
		w := httptest.NewRecorder()
		s.REST().ServeHTTP(w, req)
		if n := s.GameServer().Counters["races"].Count; n < 0 || n > 10 || len(s.GameServer().Lists["players"].Values) > 2 {
			t.Errorf("%s %s %s left %+v", method, path, body, s.GameServer())
		}
	})
}
