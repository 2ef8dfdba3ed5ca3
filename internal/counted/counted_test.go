package counted_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pitcrew-dev/pitcrew/internal/counted"
)

func TestBothDirectionsAreCounted(t *testing.T) {
	var sent, received atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w = counted.Answer(w, &sent)
		if _, err := io.Copy(w, counted.Body(req.Body, &received)); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("Flush through the counter: %v", err)
		}
		_, _ = io.WriteString(w, "!") // what went wrong shows in the client
	}))
	defer server.Close()
	resp, err := http.Post(server.URL, "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if string(got) != "hello!" || err != nil || sent.Load() != 6 || received.Load() != 5 {
		t.Errorf("answer %q, %v; %d bytes sent and %d received, want 6 and 5", got, err, sent.Load(), received.Load())
	}
}
