package publish_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
	"github.com/pitcrew-dev/pitcrew/builder/publish/publishtest"
	"github.com/pitcrew-dev/pitcrew/builder/publish/registry"
	"github.com/pitcrew-dev/pitcrew/internal/diskregistry"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		os.Exit(code)
	}))
}

func TestALayoutIsARepository(t *testing.T) {
	publishtest.Run(t, func(t *testing.T) builder.Repository {
		t.Helper()
		l, err := layout.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}

func TestTheDiskRegistryIsARepository(t *testing.T) {
	publishtest.Run(t, func(t *testing.T) builder.Repository {
		t.Helper()
		return repository(t, embedded(t), registry.Options{Retries: 1})
	})
}

func TestDebiansRegistryIsARepository(t *testing.T) {
	host := distribution(t)
	publishtest.Run(t, func(t *testing.T) builder.Repository {
		t.Helper()
		name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", "#", "").Replace(t.Name()))
		return repository(t, host+"/"+name, registry.Options{Retries: 1})
	})
}

// embedded serves a disk registry and gives a repository in it.
func embedded(t *testing.T) string {
	t.Helper()
	handler, err := diskregistry.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://") + "/games/stk"
}

func repository(t *testing.T, name string, o registry.Options) *registry.Repository {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	o.PlainHTTP, o.Transport = true, transport
	r, err := registry.New(o).Repository(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const distributionConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %ROOT%}}
http: {addr: %ADDR%}
`

// distribution starts Debian's docker-registry on loopback.
func distribution(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("needs docker-registry (apt-get install docker-registry)")
	}
	dir, addr := t.TempDir(), freeAddress(t)
	config := filepath.Join(dir, "config.yml")
	text := strings.NewReplacer("%ROOT%", dir, "%ADDR%", addr).Replace(distributionConfig)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.CommandContext(t.Context(), program, "serve", config)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // t.Context has ended by then, and interrupted it
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !answers(ctx, addr) {
		if ctx.Err() != nil {
			t.Fatalf("docker-registry does not answer on %s: %s", addr, log.String())
		}
	}
	return addr
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// answers asks once; a refused connection comes back at once, so callers wait a little between.
func answers(ctx context.Context, addr string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v2/", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
	return false
}
