package kubetest

import (
	"net/http"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
)

// Meddler is somebody who is quicker with a write than the one who is tested.
type Meddler struct {
	method, suffix string
	do             func()

	once   sync.Once
	mu     sync.Mutex
	answer int
}

// Meddle returns c's connection with do called before the first request of this method to a path that ends so is sent.
func Meddle(c *rest.Config, method, suffix string, do func()) (*rest.Config, *Meddler) {
	m := &Meddler{method: method, suffix: suffix, do: do}
	c = rest.CopyConfig(c)
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return &meddling{m, next} })
	return c, m
}

// Answer is the HTTP status of that request; 0 if there was none yet.
func (m *Meddler) Answer() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.answer
}

type meddling struct {
	m    *Meddler
	next http.RoundTripper
}

// RoundTrip sends the request.
func (r *meddling) RoundTrip(req *http.Request) (*http.Response, error) {
	first := false
	if req.Method == r.m.method && strings.HasSuffix(req.URL.Path, r.m.suffix) {
		r.m.once.Do(func() { first = true; r.m.do() })
	}
	resp, err := r.next.RoundTrip(req)
	if first && err == nil {
		r.m.mu.Lock()
		defer r.m.mu.Unlock()
		r.m.answer = resp.StatusCode
	}
	return resp, err
}

// WrappedRoundTripper lets whoever closes idle connections find them.
func (r *meddling) WrappedRoundTripper() http.RoundTripper { return r.next }
