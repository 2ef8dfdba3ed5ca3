package registry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
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

// secret is a pull secret with a password for each host.
func secret(hosts ...string) registry.Credentials {
	var auths []string
	for _, h := range hosts {
		auths = append(auths, fmt.Sprintf("%q:{\"auth\":%q}", h, base64.StdEncoding.EncodeToString([]byte("user:password of "+h))))
	}
	raw := []byte(`{"auths":{` + strings.Join(auths, ",") + `}}`)
	return registry.Credentials{PullSecrets: func(context.Context, string) ([][]byte, error) { return [][]byte{raw}, nil }}
}

func basicFor(host string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("user:password of "+host))
}

// tokens is a registry that wants tokens, and the server that gives them.
type tokens struct {
	t       *testing.T
	next    handler
	life    time.Duration
	want    string // Authorization of token requests; "" for nobody's
	given   atomic.Int32
	mu      sync.Mutex
	expires map[string]time.Time
}

func (k *tokens) registry(req *http.Request) *http.Response {
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.expires[token]) {
		return k.next(req)
	}
	return reply(http.StatusUnauthorized, "", "WWW-Authenticate", `Bearer realm="https://auth.test/token?account=x",service="registry",scope="repository:games/stk:pull,push repository:other:pull"`)
}

func (k *tokens) server(req *http.Request) *http.Response {
	if got := req.Header.Get("Authorization"); got != k.want {
		return reply(http.StatusUnauthorized, "")
	}
	if got, want := req.URL.Query().Encode(), "account=x&scope=repository%3Agames%2Fstk%3Apull&service=registry"; got != want {
		k.t.Errorf("token request with %s, want %s", got, want)
	}
	token := fmt.Sprintf("token%d", k.given.Add(1))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expires[token] = time.Now().Add(k.life)
	return reply(http.StatusOK, fmt.Sprintf(`{"token":%q,"expires_in":%d}`, token, int(k.life.Seconds())))
}

func withTokens(t *testing.T, n *network, all ...content) *tokens {
	t.Helper()
	k := &tokens{t: t, next: store(all...), life: 5 * time.Minute, expires: map[string]time.Time{}}
	n.hosts[host], n.hosts["auth.test"] = k.registry, k.server
	return k
}

func TestATokenIsUsedUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(mib)
		n := newNetwork()
		k := withTokens(t, n, b)
		k.want = basicFor(host)
		c := newClient(t, registry.Options{Transport: n, Chunk: 128 * kib, Credentials: secret(host)})
		mustRead(t, c, ref, b, 0)
		if got, want := n.requests("GET "+host), 9; got != want {
			t.Errorf("%d requests to the registry, want %d: one refused, 8 ranges", got, want)
		}
		mustRead(t, c, ref, b, 0)
		if got, want := k.given.Load(), int32(1); got != want {
			t.Errorf("%d tokens were asked for, want %d", got, want)
		}
		time.Sleep(6 * time.Minute)
		before := n.requests("GET " + host)
		mustRead(t, c, ref, b, 0)
		if got, want := k.given.Load(), int32(2); got != want {
			t.Errorf("%d tokens were asked for after one expired, want %d", got, want)
		}
		if got, want := n.requests("GET "+host)-before, 8; got != want {
			t.Errorf("%d requests to the registry, want %d: none with the expired token", got, want)
		}
	})
}

func TestATokenThatEndsEarlyIsRenewedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(2 * mib)
		n := newNetwork()
		k := withTokens(t, n, b)
		c := newClient(t, registry.Options{Transport: n, Chunk: 128 * kib})
		c.SetBandwidth(256 * kib)
		time.AfterFunc(3*time.Second, func() { // revoked during the transfer
			k.mu.Lock()
			defer k.mu.Unlock()
			clear(k.expires)
		})
		mustRead(t, c, ref, b, 0)
		if got, want := k.given.Load(), int32(2); got != want {
			t.Errorf("%d tokens were asked for, want %d", got, want)
		}
	})
}

func TestCredentialsAreTriedInOrder(t *testing.T) {
	b := randomBlob(100)
	for _, test := range []struct {
		name    string
		secrets []string // passwords
		right   string
		want    error
	}{
		{"the only one", []string{"right"}, "right", nil},
		{"the second", []string{"old", "right"}, "right", nil},
		{"none of them", []string{"old", "older"}, "right", warmer.ErrDenied},
		{"there are none", nil, "right", warmer.ErrDenied},
	} {
		for _, bearer := range []bool{true, false} {
			t.Run(fmt.Sprint(test.name, " bearer ", bearer), func(t *testing.T) {
				right := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+test.right))
				n := newNetwork()
				if bearer {
					withTokens(t, n, b).want = right
				} else {
					n.hosts[host] = func(req *http.Request) *http.Response {
						if req.Header.Get("Authorization") != right {
							return reply(http.StatusUnauthorized, "", "WWW-Authenticate", `Basic realm="registry"`)
						}
						return store(b)(req)
					}
				}
				c := newClient(t, registry.Options{Transport: n, Credentials: registry.Credentials{PullSecrets: func(context.Context, string) (all [][]byte, err error) {
					all = append(all, []byte("not a config"))
					for _, p := range test.secrets {
						all = append(all, fmt.Appendf(nil, `{"auths":{%q:{"username":"user","password":%q}}}`, host, p))
					}
					return all, nil
				}}})
				_, err := readAll(t.Context(), c, ref, b.desc, 0)
				if !errors.Is(err, test.want) {
					t.Errorf("Blob = %v, want %v", err, test.want)
				}
				if err != nil && registryError(t, err).Status != http.StatusUnauthorized {
					t.Errorf("error %#v, want status 401", registryError(t, err))
				}
			})
		}
	}
}

func TestIdentityTokensAreExchanged(t *testing.T) {
	b := randomBlob(100)
	n := newNetwork()
	n.hosts[host] = func(req *http.Request) *http.Response {
		if req.Header.Get("Authorization") == "Bearer exchanged" {
			return store(b)(req)
		}
		return reply(http.StatusUnauthorized, "", "WWW-Authenticate", `Bearer realm="https://auth.test/token",service="registry"`)
	}
	n.hosts["auth.test"] = func(req *http.Request) *http.Response {
		if err := req.ParseForm(); err != nil || req.Method != http.MethodPost || req.Header.Get("Authorization") != "" {
			t.Errorf("token request %s with %v", req.Method, req.Header)
		}
		if got, want := req.PostForm.Encode(), "client_id=pitcrew-warmer&grant_type=refresh_token&refresh_token=identity&scope=repository%3Agames%2Fstk%3Apull&service=registry"; got != want {
			t.Errorf("token request with %s, want %s", got, want)
		}
		return reply(http.StatusOK, `{"access_token":"exchanged"}`)
	}
	raw := []byte(`{"auths":{"registry.test":{"username":"<token>","identitytoken":"identity"}}}`)
	c := newClient(t, registry.Options{Transport: n, Credentials: registry.Credentials{PullSecrets: func(context.Context, string) ([][]byte, error) { return [][]byte{raw}, nil }}})
	mustRead(t, c, ref, b, 0)
}

func TestFailuresOfTheTokenServer(t *testing.T) {
	b := randomBlob(100)
	for _, test := range []struct {
		name   string
		answer handler
		want   error
	}{
		{"denies", func(*http.Request) *http.Response { return reply(403, "") }, warmer.ErrDenied},
		{"is not there", nil, warmer.ErrUnavailable},
		{"has no such path", func(*http.Request) *http.Response { return reply(404, "") }, warmer.ErrUnavailable},
		{"is broken", func(*http.Request) *http.Response { return reply(500, "") }, warmer.ErrUnavailable},
		{"says nothing of use", func(*http.Request) *http.Response { return reply(200, "<html>") }, warmer.ErrUnavailable},
		{"gives a token that is none", func(*http.Request) *http.Response { return reply(200, `{"token":"a\nb: c"}`) }, warmer.ErrUnavailable},
		{"never ends", func(*http.Request) *http.Response {
			r := reply(200, "")
			r.Body = endlessSpaces{}
			return r
		}, warmer.ErrUnavailable},
		{"is silent", func(*http.Request) *http.Response { return nil }, warmer.ErrUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				withTokens(t, n, b)
				n.hosts["auth.test"] = test.answer
				_, err := readAll(t.Context(), newClient(t, registry.Options{Transport: n}), ref, b.desc, 0)
				if !errors.Is(err, test.want) || errors.Is(err, warmer.ErrNotFound) {
					t.Errorf("Blob = %v, want %v", err, test.want)
				}
			})
		})
	}
}

type endlessSpaces struct{}

func (endlessSpaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
func (endlessSpaces) Close() error { return nil }

// guarded is a network on which credentials may go to the hosts that they are for, and to no other.
func guarded(t *testing.T, n *network, allowed ...string) http.RoundTripper {
	t.Helper()
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		ok := false
		for _, a := range allowed {
			ok = ok || req.URL.Scheme+"://"+req.URL.Host == a
		}
		for _, h := range []string{"Authorization", "X-Secret", "Cookie", "Proxy-Authorization", "Referer"} {
			if v := req.Header.Get(h); v != "" && !ok {
				t.Errorf("%s went to %s: %q", h, req.URL, v)
			}
		}
		return n.RoundTrip(req)
	})
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	b := randomBlob(300 * kib)
	const config = "server = \"https://registry.test\"\n[header]\nx-secret = \"key\"\n"
	for _, location := range []string{
		"https://storage.test/blob?sig=1",     // another host
		"https://cdn.registry.test/blob",      // a subdomain
		"https://registry.test:8443/blob",     // another port
		"//storage.test/blob",                 // without a scheme
		"https://storage.test/back?to=origin", // and back to where it came from
	} {
		t.Run(location, func(t *testing.T) {
			n := newNetwork()
			n.hosts[host] = func(req *http.Request) *http.Response {
				switch {
				case req.URL.Path == "/final":
					if req.Header.Get("Authorization") != "" {
						t.Error("the credentials were sent again after a redirect elsewhere")
					}
					return serve(req, b.raw)
				case req.Header.Get("Authorization") != basicFor(host):
					return reply(http.StatusUnauthorized, "", "WWW-Authenticate", `Basic realm="registry"`)
				case req.Header.Get("X-Secret") != "key":
					t.Error("the configured header is missing")
				}
				return reply(http.StatusTemporaryRedirect, "", "Location", location, "Set-Cookie", "a=b")
			}
			for _, h := range []string{"storage.test", "cdn.registry.test", "registry.test:8443"} {
				n.hosts[h] = func(req *http.Request) *http.Response {
					if req.URL.Path == "/back" {
						return reply(http.StatusFound, "", "Location", "https://registry.test/final")
					}
					return serve(req, b.raw)
				}
			}
			c := newClient(t, registry.Options{
				Transport: guarded(t, n, "https://registry.test"), Credentials: secret(host, "storage.test", "cdn.registry.test"),
				HostsDir: certsD(t, host, config), Chunk: 64 * kib,
			})
			mustRead(t, c, ref, b, 0)
		})
	}
}

func TestARedirectWithinTheHostKeepsTheCredentials(t *testing.T) {
	b := randomBlob(300 * kib)
	n := newNetwork()
	n.hosts[host] = func(req *http.Request) *http.Response {
		switch {
		case req.Header.Get("Authorization") != basicFor(host):
			return reply(http.StatusUnauthorized, "", "WWW-Authenticate", `Basic realm="registry"`)
		case !strings.HasPrefix(req.URL.Path, "/elsewhere"):
			return reply(http.StatusTemporaryRedirect, "", "Location", "/elsewhere")
		default:
			return serve(req, b.raw)
		}
	}
	mustRead(t, newClient(t, registry.Options{Transport: n, Credentials: secret(host), Chunk: 64 * kib}), ref, b, 0)
}

func TestMirrorsDoNotGetTheRegistrysCredentials(t *testing.T) {
	b := randomBlob(100)
	n := newNetwork()
	n.hosts["one.test"] = func(*http.Request) *http.Response {
		return reply(http.StatusUnauthorized, "", "WWW-Authenticate", `Basic realm="x"`)
	}
	n.hosts[host] = func(req *http.Request) *http.Response {
		if req.Header.Get("Authorization") != basicFor(host) {
			return reply(http.StatusUnauthorized, "", "WWW-Authenticate", `Basic realm="registry"`)
		}
		return store(b)(req)
	}
	c := newClient(t, registry.Options{
		Transport: guarded(t, n, "https://registry.test"), Credentials: secret(host),
		HostsDir: certsD(t, host, `[host."https://one.test"]`),
	})
	mustRead(t, c, ref, b, 0)
}

func TestPasswordsDoNotLeaveTLS(t *testing.T) {
	b := randomBlob(100)
	for name, challenge := range map[string]string{
		"a token server without TLS": `Bearer realm="http://auth.test/token"`,
		"no token server":            `Bearer service="registry"`,
		"a strange one":              `Bearer realm="file:///etc/passwd"`,
		"one with a password":        `Bearer realm="https://a:b@auth.test/token"`,
		"an unknown scheme":          `Negotiate abc==`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.hosts[host] = func(*http.Request) *http.Response {
					return reply(http.StatusUnauthorized, "", "WWW-Authenticate", challenge)
				}
				n.hosts["auth.test"] = func(req *http.Request) *http.Response {
					t.Errorf("the token server was asked: %s", req.URL)
					return reply(200, `{"token":"x"}`)
				}
				c := newClient(t, registry.Options{Transport: guarded(t, n), Credentials: secret(host, "auth.test")})
				if _, err := readAll(t.Context(), c, ref, b.desc, 0); err == nil {
					t.Error("Blob succeeded")
				}
			})
		})
	}
	t.Run("a token server that redirects", func(t *testing.T) {
		n := newNetwork()
		withTokens(t, n, b)
		n.hosts["auth.test"] = func(*http.Request) *http.Response {
			return reply(302, "", "Location", "https://thief.test/")
		}
		n.hosts["thief.test"] = func(*http.Request) *http.Response { return reply(401, "") }
		c := newClient(t, registry.Options{Transport: guarded(t, n, "https://auth.test", "https://registry.test"), Credentials: secret(host)})
		if _, err := readAll(t.Context(), c, ref, b.desc, 0); !errors.Is(err, warmer.ErrDenied) {
			t.Errorf("Blob = %v, want ErrDenied", err)
		}
	})
}

func TestRedirectsToNowhere(t *testing.T) {
	b := randomBlob(100)
	for _, location := range []string{
		"", "http://storage.test/downgrade", "file:///etc/passwd", "ftp://storage.test/", "https://", "https://user:password@storage.test/",
		"://", "http://[::1", "javascript:alert(1)", "https://storage.test/" + strings.Repeat("a", 20000), "\x00",
	} {
		n := newNetwork()
		n.hosts[host] = func(*http.Request) *http.Response {
			return reply(http.StatusTemporaryRedirect, "", "Location", location)
		}
		n.hosts["storage.test"] = store(b)
		_, err := readAll(t.Context(), newClient(t, registry.Options{Transport: n}), ref, b.desc, 0)
		if !errors.Is(err, warmer.ErrUnavailable) || n.requests("") != 1 {
			t.Errorf("Location %.40q: Blob = %v after %d requests, want ErrUnavailable after one", location, err, n.requests(""))
		}
		if err != nil && strings.Contains(err.Error(), "password") {
			t.Errorf("the error has what may be secret: %v", err)
		}
	}
}

func TestErrorsDoNotTellSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.hosts[host] = func(*http.Request) *http.Response {
			return reply(302, "", "Location", "https://storage.test/?signature=secret")
		}
		_, err := readAll(t.Context(), newClient(t, registry.Options{Transport: n, Credentials: secret(host)}), ref, randomBlob(1).desc, 0)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Blob = %v, want an error without the signature", err)
		}
	})
}
