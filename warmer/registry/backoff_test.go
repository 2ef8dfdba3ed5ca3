package registry_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

func TestRetryAfterIsWaitedForExactly(t *testing.T) {
	for name, retryAfter := range map[string]func() string{
		"seconds": func() string { return "42" },
		"a date":  func() string { return time.Now().Add(42 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			t.Run(fmt.Sprint(name, status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := randomBlob(100)
					n := newNetwork()
					var requests atomic.Int32
					n.hosts[host] = func(req *http.Request) *http.Response {
						if requests.Add(1) == 1 {
							return reply(status, "", "Retry-After", retryAfter())
						}
						return store(b)(req)
					}
					begin := time.Now()
					mustRead(t, newClient(t, registry.Options{Transport: n}), ref, b, 0)
					if took := time.Since(begin); took != 42*time.Second {
						t.Errorf("reading took %s, want exactly 42s", took)
					}
				})
			})
		}
	}
}

func TestOneHostsBackoffHoldsAllItsTransfersAndNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs := []content{randomBlob(100), randomBlob(101), randomBlob(102), randomBlob(103)}
		n := newNetwork()
		var refused atomic.Bool
		n.hosts[host] = func(req *http.Request) *http.Response {
			if refused.CompareAndSwap(false, true) {
				return reply(http.StatusTooManyRequests, "", "Retry-After", "30")
			}
			return store(blobs...)(req)
		}
		n.hosts["other.test"] = store(blobs...)
		c := newClient(t, registry.Options{Transport: n})
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { mustRead(t, c, ref, blobs[0], 0) })
		synctest.Wait()
		for _, b := range blobs[1:] {
			wg.Go(func() {
				mustRead(t, c, ref, b, 0)
				if took := time.Since(begin); took != 30*time.Second {
					t.Errorf("another transfer of the host took %s, want 30s", took)
				}
			})
			wg.Go(func() {
				mustRead(t, c, "other.test/games/stk:1", b, 0)
				if took := time.Since(begin); took != 0 {
					t.Errorf("a transfer of another host took %s, want no time", took)
				}
			})
		}
		synctest.Wait()
		if got, want := n.requests("GET "+host), 1; got != want {
			t.Errorf("%d requests to the host while it backs off, want %d", got, want)
		}
		wg.Wait()
	})
}

// While a host is down, transfers do not all knock when the wait is over.
func TestOneRequestProbesAHostThatBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(100)
		n := newNetwork()
		var up atomic.Bool
		n.hosts[host] = func(req *http.Request) *http.Response {
			time.Sleep(time.Second)
			if !up.Load() {
				return reply(http.StatusBadGateway, "")
			}
			return store(b)(req)
		}
		c := newClient(t, registry.Options{Transport: n, Attempts: 100})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { mustRead(t, c, ref, b, 0) })
		}
		time.Sleep(time.Minute)
		// 10 at the beginning, then one after 0.25 to 0.5 s, 0.5 to 1 s, ... and a second for the answer: 6 to 8 of them.
		if got := n.requests("GET"); got < 16 || got > 18 {
			t.Errorf("%d requests in a minute, want 10 and a few probes", got)
		}
		up.Store(true)
		wg.Wait()
	})
}

func TestFailuresTogetherCountAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(100)
		n := newNetwork()
		var requests atomic.Int32
		n.hosts[host] = func(req *http.Request) *http.Response {
			if requests.Add(1) <= 20 {
				time.Sleep(time.Second)
				return reply(http.StatusBadGateway, "")
			}
			return store(b)(req)
		}
		c := newClient(t, registry.Options{Transport: n})
		begin := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { mustRead(t, c, ref, b, 0) })
		}
		wg.Wait()
		if took := time.Since(begin); took > 1500*time.Millisecond {
			t.Errorf("reading took %s, want a second and the shortest back-off, at most half of one", took)
		}
	})
}

func TestABackoffGrowsAndIsForgottenAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(100)
		n := newNetwork()
		var failing atomic.Int32
		n.hosts[host] = func(req *http.Request) *http.Response {
			if failing.Add(-1) >= 0 {
				return reply(http.StatusInternalServerError, "")
			}
			return store(b)(req)
		}
		c := newClient(t, registry.Options{Transport: n})
		for _, test := range []struct {
			failures    int32
			least, most time.Duration
		}{
			{5, 7750 * time.Millisecond, 15500 * time.Millisecond}, // (0.5+1+2+4+8)/2 to 0.5+1+2+4+8
			{1, 250 * time.Millisecond, 500 * time.Millisecond},
		} {
			failing.Store(test.failures)
			begin := time.Now()
			mustRead(t, c, ref, b, 0)
			if took := time.Since(begin); took < test.least || took > test.most {
				t.Errorf("after %d failures reading took %s, want %s to %s", test.failures, took, test.least, test.most)
			}
		}
	})
}

func TestALongRetryAfterIsTheCallersToSitOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.hosts[host] = func(*http.Request) *http.Response {
			return reply(http.StatusTooManyRequests, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down\nplease"}]}`, "Retry-After", "99999999999")
		}
		c := newClient(t, registry.Options{Transport: n})
		begin := time.Now()
		for range 2 { // the second without a request
			_, _, err := c.Manifest(t.Context(), ref, randomBlob(1).desc)
			e := registryError(t, err)
			if !errors.Is(err, warmer.ErrUnavailable) || e.Status != http.StatusTooManyRequests || e.RetryAfter != time.Hour {
				t.Errorf("Manifest = %#v, want status 429 and to come back after an hour", e)
			}
			if !strings.Contains(err.Error(), "TOOMANYREQUESTS: slow downplease") {
				t.Errorf("Manifest = %v, want the registry's own words in one line", err)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("the calls took %s, want no time", took)
		}
		if got, want := n.requests(""), 1; got != want {
			t.Errorf("%d requests, want %d", got, want)
		}
	})
}

func TestKindsOfFailure(t *testing.T) {
	plain := func(status int) handler {
		return func(*http.Request) *http.Response { return reply(status, "<html>no") }
	}
	for _, test := range []struct {
		name     string
		answer   handler
		want     error
		status   int
		requests int
	}{
		{"not found", plain(404), warmer.ErrNotFound, 404, 1},
		{"gone", plain(410), warmer.ErrNotFound, 410, 1},
		{"no way to authorize", plain(401), warmer.ErrDenied, 401, 1},
		{"forbidden", plain(403), warmer.ErrDenied, 403, 1},
		{"overloaded", plain(429), warmer.ErrUnavailable, 429, registry.DefaultAttempts},
		{"broken", plain(500), warmer.ErrUnavailable, 500, registry.DefaultAttempts},
		{"nobody there", nil, warmer.ErrUnavailable, 0, registry.DefaultAttempts},
		{"silent", func(*http.Request) *http.Response { return nil }, warmer.ErrUnavailable, 0, registry.DefaultAttempts},
		{"cut at once", func(*http.Request) *http.Response { return cut(reply(200, "xxx"), 0) }, warmer.ErrUnavailable, 0, registry.DefaultAttempts},
		{"redirected in a circle", func(req *http.Request) *http.Response { return reply(302, "", "Location", req.URL.String()) }, warmer.ErrUnavailable, 0, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.hosts[host] = test.answer
				c := newClient(t, registry.Options{Transport: n})
				_, _, err := c.Manifest(t.Context(), ref, randomBlob(3).desc)
				e := registryError(t, err)
				if !errors.Is(err, test.want) || e.Status != test.status || e.Registry != host || e.Ref != ref {
					t.Errorf("Manifest = %v (%#v), want %v with status %d", err, e, test.want, test.status)
				}
				if got := n.requests(""); got != test.requests {
					t.Errorf("%d requests, want %d", got, test.requests)
				}
			})
		})
	}
}

func TestFailuresOfTheNetworkAreTold(t *testing.T) {
	for reason, err := range map[string]error{
		"dns":        &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}},
		"connection": &net.OpError{Op: "dial", Err: errRefused},
		"tls":        tls.AlertError(40),
	} {
		synctest.Test(t, func(t *testing.T) {
			var reasons []string
			c := newClient(t, registry.Options{
				Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, err }),
				Attempts:  2,
				Retried:   func(_, reason string) { reasons = append(reasons, reason) },
			})
			if _, err := c.Resolve(t.Context(), ref); !errors.Is(err, warmer.ErrUnavailable) {
				t.Errorf("%s: Resolve = %v, want ErrUnavailable", reason, err)
			}
			if got, want := fmt.Sprint(reasons), fmt.Sprint([]string{reason, reason}); got != want {
				t.Errorf("Retried was told %s, want %s", got, want)
			}
		})
	}
	t.Run("a wrong certificate is not asked again", func(t *testing.T) {
		var requests int
		c := newClient(t, registry.Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			requests++
			return nil, &tls.CertificateVerificationError{Err: errors.New("unknown authority")}
		})})
		if _, err := c.Resolve(t.Context(), ref); !errors.Is(err, warmer.ErrUnavailable) || requests != 1 {
			t.Errorf("Resolve = %v after %d requests, want ErrUnavailable after one", err, requests)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Waiting while others try in vain is trying.
func TestCallsGiveUpTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.hosts[host] = func(*http.Request) *http.Response {
			time.Sleep(time.Second) // so that all have begun
			return reply(http.StatusBadGateway, "")
		}
		c := newClient(t, registry.Options{Transport: n, Attempts: 4})
		var wg sync.WaitGroup
		var ends [10]time.Time
		for i := range ends {
			wg.Go(func() {
				_, err := c.Resolve(t.Context(), ref)
				if e := registryError(t, err); e.Status != http.StatusBadGateway {
					t.Errorf("Resolve = %v, want status 502", err)
				}
				ends[i] = time.Now()
			})
		}
		wg.Wait()
		for _, end := range ends {
			if end != ends[0] {
				t.Errorf("one call ended %s after another", end.Sub(ends[0]))
			}
		}
		if got, want := n.requests(""), 10+3; got != want {
			t.Errorf("%d requests, want %d: one for each call, then 3 probes", got, want)
		}
	})
}

// A probe whose caller goes away must not leave the gate shut.
func TestAnAbandonedProbeLetsOthersProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(100)
		n := newNetwork()
		var requests atomic.Int32
		n.hosts[host] = func(req *http.Request) *http.Response {
			switch requests.Add(1) {
			case 1:
				return reply(http.StatusTooManyRequests, "", "Retry-After", "5")
			case 2:
				return nil
			default:
				return store(b)(req)
			}
		}
		c := newClient(t, registry.Options{Transport: n})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := readAll(ctx, c, ref, b.desc, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Blob = %v, want the context's error", err)
			}
		})
		time.Sleep(6 * time.Second)
		begin := time.Now()
		mustRead(t, c, ref, b, 0)
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("reading took %s, want the 4 s until the probe was abandoned", took)
		}
		wg.Wait()
	})
}
