package publish_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
	"github.com/pitcrew-dev/pitcrew/builder/publish/publishtest"
	"github.com/pitcrew-dev/pitcrew/builder/publish/registry"
	"github.com/pitcrew-dev/pitcrew/internal/diskregistry"
	"github.com/pitcrew-dev/pitcrew/internal/distributiontest"
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
	host := distributiontest.Start(t)
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
