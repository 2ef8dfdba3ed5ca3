package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pitcrew-dev/pitcrew/internal/diskregistry"
)

// wire is a TCP proxy that counts what goes to the server, and may cut connections.
type wire struct {
	addr string
	sent atomic.Int64
	// cut is how many more connections are cut, each after so many bytes to the server.
	cuts  atomic.Int64
	after int64
}

func newWire(t *testing.T, server string, cuts, after int64) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: listener.Addr().String(), after: after}
	w.cuts.Store(cuts)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.serve(client, server) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		http.DefaultClient.CloseIdleConnections()
		all.Wait()
	})
	return w
}

func (w *wire) serve(client net.Conn, server string) {
	defer client.Close()
	upstream, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer upstream.Close()
	go func() { // ends with the connections
		_, _ = io.Copy(client, upstream)
		client.Close()
	}()
	buf := make([]byte, 32<<10)
	for n := int64(0); ; {
		got, err := client.Read(buf)
		if _, werr := upstream.Write(buf[:got]); err != nil || werr != nil {
			return
		}
		w.sent.Add(int64(got))
		if n += int64(got); n >= w.after && w.cuts.Add(-1) >= 0 {
			return
		}
	}
}

// realRegistry is the embedded one, behind a handler that may answer instead.
func realRegistry(t *testing.T, instead func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	handler, err := diskregistry.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if instead == nil || !instead(w, r) {
			handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func TestCutConnectionsCostOnlyWhatWasLost(t *testing.T) {
	dir, server := project(t), realRegistry(t, nil)
	w := newWire(t, server, 3, 500_000)
	res := mustBuild(t, dir, "--registry", w.addr+"/games", "--plain-http")
	if left := w.cuts.Load(); left > 0 {
		t.Fatalf("%d connections were not cut: nothing is shown", left)
	}
	// What is in flight when a connection is cut is lost: socket buffers, not layers.
	if sent := w.sent.Load(); sent > res.PushedBytes+res.PushedBytes/2 {
		t.Errorf("%d bytes were sent for %d", sent, res.PushedBytes)
	}
	if code, stderr := builderRun(t, nil, "verify", server+"/games/game:1", "--plain-http"); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, stderr)
	}
}

func TestARegistryThatFailsForGoodLeavesNoTag(t *testing.T) {
	dir, server := project(t), realRegistry(t, nil)
	w := newWire(t, server, 1<<40, 300_000)
	args := []string{"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--plain-http", "--retries", "1"}
	code, stderr := builderRun(t, nil, append(args, "--registry", w.addr+"/games")...)
	if code != 5 || !strings.Contains(stderr, w.addr) || !strings.Contains(stderr, "try again") {
		t.Errorf("every connection is cut: exit %d, want 5 and the registry's name\n%s", code, stderr)
	}
	if code, _ := builderRun(t, nil, "inspect", server+"/games/game:1", "--plain-http"); code == 0 {
		t.Error("a tag was published")
	}
	mustBuild(t, dir, "--registry", server+"/games", "--plain-http") // a rerun just works
}

func TestRegistriesThatRefuse(t *testing.T) {
	dir := project(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	unauthorised := realRegistry(t, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("WWW-Authenticate", `Basic realm="games"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	var refused atomic.Int64
	forgetful := realRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch && refused.Add(1) == 1 {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return true
		}
		return false
	})
	for name, c := range map[string]struct {
		registry, say string
		code          int
	}{
		"nobody listens":         {nobody, nobody, 5},
		"no credentials":         {unauthorised, "docker login " + unauthorised, 4},
		"a session that is lost": {forgetful, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			code, stderr := builderRun(t, nil, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(t.TempDir(), "cache"),
				"--registry", c.registry+"/games", "--plain-http", "--retries", "2")
			if code != c.code || !strings.Contains(stderr, c.say) {
				t.Errorf("exit %d, want %d and %q\n%s", code, c.code, c.say, stderr)
			}
		})
	}
	if refused.Load() < 2 {
		t.Error("no upload met the 416")
	}
}
