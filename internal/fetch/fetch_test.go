package fetch_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/fetch"
)

const body = "the bytes of a package, long enough to be cut in the middle"

func sum() fetch.Sum {
	h := sha256.Sum256([]byte(body))
	return fetch.Sum{SHA256: hex.EncodeToString(h[:]), Size: int64(len(body))}
}

func serve(t *testing.T, h http.HandlerFunc) (url, dst string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL, filepath.Join(t.TempDir(), "file")
}

func TestACutDownloadIsContinued(t *testing.T) {
	var calls atomic.Int32
	var second string
	url, dst := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write([]byte(body[:20]))
			return // the connection breaks: the rest is missing
		}
		second = r.Header.Get("Range")
		http.ServeContent(w, r, "", time.Unix(0, 0), strings.NewReader(body))
	})
	if err := (&fetch.Client{}).File(t.Context(), url, sum(), dst); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dst); err != nil || string(got) != body {
		t.Errorf("file = %q, %v", got, err)
	}
	if second != "bytes=20-" {
		t.Errorf("second request asked for %q, want the rest from byte 20", second)
	}
}

func TestWrongBytesAreRemovedAndNamed(t *testing.T) {
	url, dst := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("evil")) })
	err := (&fetch.Client{}).File(t.Context(), url, sum(), dst)
	if !errors.Is(err, fetch.ErrWrongSum) || !strings.Contains(err.Error(), url) {
		t.Errorf("File: %v, want ErrWrongSum and the URL", err)
	}
	if left, _ := filepath.Glob(dst + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAServerThatIsBusyIsAskedAgainWhenItSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls int
		client := &http.Client{Transport: roundTripper(func(r *http.Request) *http.Response {
			w := httptest.NewRecorder()
			if calls++; calls == 1 {
				w.Header().Set("Retry-After", "30")
				w.WriteHeader(http.StatusServiceUnavailable)
			} else {
				http.ServeContent(w, r, "", time.Unix(0, 0), strings.NewReader(body))
			}
			return w.Result()
		})}
		start := time.Now()
		err := (&fetch.Client{HTTP: client}).File(t.Context(), "http://mirror.test/p", sum(), filepath.Join(t.TempDir(), "file"))
		if waited := time.Since(start); err != nil || waited < 30*time.Second || waited > 31*time.Second {
			t.Errorf("File: %v after %v, want success after the 30 s that the server asked for", err, waited)
		}
	})
}

type roundTripper func(*http.Request) *http.Response

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func TestAFileThatIsThereIsNotDownloaded(t *testing.T) {
	url, dst := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
	if err := os.WriteFile(dst, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&fetch.Client{}).File(t.Context(), url, sum(), dst); err != nil {
		t.Error(err)
	}
}

func TestAMessageHoldsNoPassword(t *testing.T) {
	url, dst := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	secret := strings.Replace(url, "http://", "http://user:hunter2@", 1) + "/?token=hunter3"
	err := (&fetch.Client{}).File(t.Context(), secret, sum(), dst)
	if e, ok := errors.AsType[*fetch.Error](err); !ok || e.Reason != fetch.Missing || strings.Contains(err.Error(), "hunter") {
		t.Errorf("File: %v, want a missing file and no secret", err)
	}
}

func TestARefusalIsNotRepeated(t *testing.T) {
	var calls atomic.Int32
	url, dst := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusForbidden)
	})
	err := (&fetch.Client{}).File(t.Context(), url, sum(), dst)
	if e, ok := errors.AsType[*fetch.Error](err); !ok || e.Status != http.StatusForbidden || calls.Load() != 1 {
		t.Errorf("File: %v after %d requests, want status 403 after one", err, calls.Load())
	}
}
