package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

// certsD writes a certs.d with one hosts.toml.
func certsD(t testing.TB, entry, text string) string {
	t.Helper()
	dir := t.TempDir()
	writeHosts(t, dir, entry, text)
	return dir
}

func writeHosts(t testing.TB, dir, entry, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, entry), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, entry, "hosts.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const twoMirrors = `
[host."https://one.test"]
  capabilities = ["pull"]
[host."http://two.test:5000/prefix"]
  capabilities = ["pull", "resolve"]
  [host."http://two.test:5000/prefix".header]
    x-node = "n1"
`

func TestMirrorsAreAskedInOrder(t *testing.T) {
	b := randomBlob(100)
	blobPath := "/v2/games/stk/blobs/" + string(b.desc.Digest)
	for _, test := range []struct {
		name          string
		one, two, own handler
		want          []string
		err           error
	}{
		{"the first has it", store(b), store(b), store(b), []string{"GET one.test" + blobPath}, nil},
		{"the first lacks it", store(), store(b), store(b), []string{"GET one.test" + blobPath, "GET two.test:5000/prefix" + blobPath}, nil},
		{"the first is down", nil, store(b), store(b), []string{"GET one.test" + blobPath, "GET two.test:5000/prefix" + blobPath}, nil},
		{
			"only the registry itself", func(*http.Request) *http.Response { return reply(403, "") }, func(*http.Request) *http.Response { return reply(500, "") }, store(b),
			[]string{"GET one.test" + blobPath, "GET two.test:5000/prefix" + blobPath, "GET " + host + blobPath},
			nil,
		},
		{"a mirror lies about the size", func(req *http.Request) *http.Response { return serve(req, b.raw[:99]) }, store(b), store(b), []string{"GET one.test" + blobPath, "GET two.test:5000/prefix" + blobPath}, nil},
		{"nobody", store(), store(), store(), []string{"GET one.test" + blobPath, "GET two.test:5000/prefix" + blobPath, "GET " + host + blobPath}, warmer.ErrNotFound},
		{"nobody, and the registry denies", store(), store(), func(*http.Request) *http.Response { return reply(403, "") }, []string{"GET one.test" + blobPath, "GET two.test:5000/prefix" + blobPath, "GET " + host + blobPath}, warmer.ErrDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				check := func(next handler, ns, header string) handler {
					return func(req *http.Request) *http.Response {
						if got := req.URL.Query().Get("ns"); got != ns {
							t.Errorf("%s: ns=%q, want %q", req.URL, got, ns)
						}
						if got := req.Header.Get("X-Node"); got != header {
							t.Errorf("%s: X-Node: %q, want %q", req.URL, got, header)
						}
						return next(req)
					}
				}
				if test.one != nil {
					n.hosts["one.test"] = check(test.one, host, "")
				}
				n.hosts["two.test:5000"] = check(test.two, host, "n1")
				n.hosts[host] = check(test.own, "", "")
				c := newClient(t, registry.Options{Transport: n, HostsDir: certsD(t, host, twoMirrors)})
				begin := time.Now()
				got, err := readAll(t.Context(), c, ref, b.desc, 0)
				if !errors.Is(err, test.err) || test.err == nil && !bytes.Equal(got, b.raw) {
					t.Errorf("Blob = %d bytes, %v; want %v", len(got), err, test.err)
				}
				if fmt.Sprint(n.log) != fmt.Sprint(test.want) {
					t.Errorf("requests %q, want %q", n.log, test.want)
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("it took %s: a mirror's back-off was waited for", took)
				}
			})
		})
	}
}

func TestOnlyTrustedMirrorsResolveTags(t *testing.T) {
	m := newContent(ociIndex, []byte(`{}`))
	n := newNetwork()
	for _, h := range []string{"one.test", "two.test:5000", host} {
		n.hosts[h] = func(*http.Request) *http.Response {
			return reply(http.StatusOK, "", "Docker-Content-Digest", string(m.desc.Digest))
		}
	}
	c := newClient(t, registry.Options{Transport: n, HostsDir: certsD(t, host, twoMirrors)})
	if _, err := c.Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(n.log), "[HEAD two.test:5000/prefix/v2/games/stk/manifests/1]"; got != want {
		t.Errorf("requests %s, want %s", got, want)
	}
	t.Run("nobody is trusted", func(t *testing.T) {
		c := newClient(t, registry.Options{Transport: n, HostsDir: certsD(t, host, "server = \"https://one.test\"\ncapabilities = [\"pull\"]")})
		if _, err := c.Resolve(t.Context(), ref); !errors.Is(err, warmer.ErrNotSupported) {
			t.Errorf("Resolve = %v, want ErrNotSupported", err)
		}
	})
}

func TestAManifestThatAMirrorForgedComesFromTheNext(t *testing.T) {
	m := newContent(ociIndex, []byte(`{"schemaVersion":2}`))
	n := newNetwork()
	n.hosts["one.test"] = func(*http.Request) *http.Response { return reply(200, `{"schemaVersion":3}`) }
	n.hosts["two.test:5000"] = store(m)
	c := newClient(t, registry.Options{Transport: n, HostsDir: certsD(t, host, twoMirrors)})
	raw, _, err := c.Manifest(t.Context(), ref, m.desc)
	if err != nil || !bytes.Equal(raw, m.raw) {
		t.Errorf("Manifest = %q, %v; want %q", raw, err, m.raw)
	}
}

// A mirror that dies in the middle costs no byte twice either.
func TestABlobGoesOnAtTheNextMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := randomBlob(2 * mib)
		n := newNetwork()
		var dead atomic.Bool
		n.hosts["one.test"] = func(req *http.Request) *http.Response {
			switch from, _, _ := rangeOf(req, len(b.raw)); {
			case dead.Load():
				return reply(http.StatusBadGateway, "")
			case from >= mib:
				dead.Store(true)
				return cut(store(b)(req), 10*kib)
			default:
				return store(b)(req)
			}
		}
		n.hosts["two.test:5000"] = store(b)
		n.hosts[host] = func(*http.Request) *http.Response {
			t.Error("the registry was asked")
			return reply(500, "")
		}
		c := newClient(t, registry.Options{Transport: n, Chunk: 128 * kib, HostsDir: certsD(t, host, twoMirrors)})
		mustRead(t, c, ref, b, 0)
		if got := n.received("one.test") + n.received("two.test:5000"); got != b.desc.Size {
			t.Errorf("%d bytes were fetched, want each of %d once", got, b.desc.Size)
		}
	})
}

func TestTheConfigurationIsReadAnew(t *testing.T) {
	b := randomBlob(100)
	n := newNetwork()
	n.hosts[host], n.hosts["one.test"] = store(b), store(b)
	dir := t.TempDir()
	c := newClient(t, registry.Options{Transport: n, HostsDir: dir})
	for _, step := range []struct{ text, want string }{
		{"", host}, {`server = "https://one.test"`, "one.test"}, {"", host},
	} {
		writeHosts(t, dir, host, step.text)
		before := n.requests("GET " + step.want + "/")
		mustRead(t, c, ref, b, 0)
		if n.requests("GET "+step.want+"/") != before+1 {
			t.Errorf("with %q %s was not asked", step.text, step.want)
		}
	}
	writeHosts(t, dir, host, "server = ")
	_, err := c.Resolve(t.Context(), ref)
	if e := registryError(t, err); !errors.Is(err, warmer.ErrUnavailable) || e.Registry != host || !strings.Contains(err.Error(), "hosts.toml") {
		t.Errorf("Resolve with a hosts.toml that does not parse = %v, want it named", err)
	}
}

func TestDockerHubHasItsOwnAddress(t *testing.T) {
	b := randomBlob(100)
	n := newNetwork()
	n.hosts["registry-1.docker.io"] = func(req *http.Request) *http.Response {
		if req.URL.RawQuery != "" || req.URL.Scheme != "https" {
			t.Errorf("request for %s", req.URL)
		}
		return store(b)(req)
	}
	mustRead(t, newClient(t, registry.Options{Transport: n}), "debian", b, 0)
	if got, want := n.requests("GET registry-1.docker.io/v2/library/debian/blobs/"), 1; got != want {
		t.Errorf("%d requests, want %d", got, want)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	if _, err := registry.New(registry.Options{Parallel: -1}); err == nil {
		t.Error("New with -1 parallel ranges succeeded")
	}
}
