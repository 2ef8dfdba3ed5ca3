package warmertest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/diskregistry"
)

// Registry is a registry on loopback.
type Registry struct {
	// Host is HOST:PORT.
	Host string

	t  testing.TB
	mu sync.Mutex
	// requests are counted by method and kind: "GET blobs", "HEAD manifests".
	requests map[string]int
	blobs    map[string]int // requests by who made them
	bytes    int64
	pace     int
	corrupt  bool
	next     time.Time
	fault    func(http.ResponseWriter, *http.Request) bool
}

// NewRegistry serves until the test ends.
func NewRegistry(t testing.TB) *Registry {
	t.Helper()
	handler, err := diskregistry.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &Registry{t: t, requests: map[string]int{}, blobs: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.begin(req); r.failed(w, req) {
			return
		}
		handler.ServeHTTP(&meter{ResponseWriter: w, registry: r, counts: req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")}, req)
	}))
	t.Cleanup(server.Close)
	r.Host = strings.TrimPrefix(server.URL, "http://")
	return r
}

func (r *Registry) begin(req *http.Request) {
	kind := "other"
	for _, k := range []string{"blobs", "manifests"} {
		if strings.Contains(req.URL.Path, "/"+k+"/") {
			kind = k
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[req.Method+" "+kind]++
	if req.Method == http.MethodGet && kind == "blobs" {
		by, _, _ := strings.Cut(req.UserAgent(), "/")
		r.blobs[by]++
	}
}

// Blobs is how many were asked for by a program, which is the first word of its User-Agent.
func (r *Registry) Blobs(by string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.blobs[by]
}

func (r *Registry) failed(w http.ResponseWriter, req *http.Request) bool {
	r.mu.Lock()
	fault := r.fault
	r.mu.Unlock()
	return fault != nil && fault(w, req)
}

// Fail has every request go through fault first, which answers it or returns false; nil ends that.
func (r *Registry) Fail(fault func(http.ResponseWriter, *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// Reset begins the counting anew.
func (r *Registry) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.blobs, r.bytes = map[string]int{}, map[string]int{}, 0
}

// Requests is how many there were, such as of "GET blobs" or "HEAD manifests"; all of them for "".
func (r *Registry) Requests(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kind != "" {
		return r.requests[kind]
	}
	n := 0
	for _, k := range r.requests {
		n += k
	}
	return n
}

// Bytes is how many of blobs were sent.
func (r *Registry) Bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// meter counts what is sent.
type meter struct {
	http.ResponseWriter
	registry *Registry
	counts   bool
}

func (m *meter) Write(p []byte) (int, error) {
	if !m.counts {
		return m.ResponseWriter.Write(p)
	}
	written := 0
	for len(p) > 0 {
		part := p[:min(len(p), 32<<10)]
		m.registry.await(len(part))
		if m.registry.corrupts() {
			part = bytes.Repeat([]byte{0xff}, len(part))
		}
		n, err := m.ResponseWriter.Write(part)
		written += n
		m.registry.mu.Lock()
		m.registry.bytes += int64(n)
		m.registry.mu.Unlock()
		if err != nil {
			return written, err
		}
		p = p[len(part):]
	}
	return written, nil
}

// Corrupt has other bytes sent than are stored, of every blob.
func (r *Registry) Corrupt(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.corrupt = on
}

func (r *Registry) corrupts() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.corrupt
}

// await waits until n more bytes may be sent.
func (r *Registry) await(n int) {
	r.mu.Lock()
	if r.pace <= 0 {
		r.mu.Unlock()
		return
	}
	now := time.Now()
	if r.next.Before(now) {
		r.next = now
	}
	wait := r.next.Sub(now)
	r.next = r.next.Add(time.Duration(n) * time.Second / time.Duration(r.pace))
	r.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	<-timer.C
}

// Pace bounds how fast blobs are sent, altogether; 0 ends that.
func (r *Registry) Pace(bytesPerSecond int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pace = bytesPerSecond
}

// Login has the registry ask for a name and a password from now on.
func (r *Registry) Login(user, password string) {
	r.Fail(func(w http.ResponseWriter, req *http.Request) bool {
		u, p, ok := req.BasicAuth()
		if ok && u == user && p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

// Lose has the registry know of nothing from now on.
func (r *Registry) Lose() {
	r.Fail(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	})
}
