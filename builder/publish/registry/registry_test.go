package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/publish/registry"
	"github.com/pitcrew-dev/pitcrew/internal/counted"
)

// blob is a virtual blob: its digest is known only if so asked.
type blob struct {
	body  string
	known bool
	runs  atomic.Int32
}

func (b *blob) desc() v1.Descriptor {
	sum := sha256.Sum256([]byte(b.body))
	return v1.Descriptor{MediaType: types.OCIUncompressedLayer, Size: int64(len(b.body)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
}

func (b *blob) Descriptor() (v1.Descriptor, bool) {
	if b.known {
		return b.desc(), true
	}
	return v1.Descriptor{MediaType: types.OCIUncompressedLayer}, false
}
func (b *blob) SizeHint() int64 { return int64(len(b.body)) }

func (b *blob) WriteTo(_ context.Context, w io.Writer) (v1.Descriptor, error) {
	b.runs.Add(1)
	_, err := io.Copy(w, struct{ io.Reader }{strings.NewReader(b.body)})
	return b.desc(), err
}

// recorder is an in-process registry that counts requests and lets a test spoil some of them.
type recorder struct {
	handler http.Handler
	mu      sync.Mutex
	log     []string
	spoil   func(*http.Request) *http.Response
}

func newRecorder() *recorder {
	return &recorder{handler: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))}
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.log = append(r.log, req.Method+" "+req.URL.Path)
	spoil := r.spoil
	r.mu.Unlock()
	if spoil != nil {
		if resp := spoil(req); resp != nil {
			resp.Request = req
			if resp.Body == nil {
				resp.Body = http.NoBody
			}
			return resp, nil
		}
	}
	w := httptest.NewRecorder()
	if req.Body == nil {
		req.Body = http.NoBody
	}
	r.handler.ServeHTTP(w, req)
	_, _ = io.Copy(io.Discard, req.Body)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

func (r *recorder) count(prefix string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.log {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

func open(t *testing.T, rec *recorder, chunk int64) *registry.Repository {
	t.Helper()
	repo, err := registry.New(registry.Options{PlainHTTP: true, Transport: rec, Chunk: chunk}).Repository("registry.test/games/stk")
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func read(t *testing.T, repo *registry.Repository, d v1.Descriptor) string {
	t.Helper()
	body, err := repo.OpenBlob(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestABlobOfUnknownDigestIsStreamedInOnePass(t *testing.T) {
	rec := newRecorder()
	repo := open(t, rec, 0)
	b := &blob{body: strings.Repeat("x", 1<<20)}
	put, err := repo.PutBlob(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if put.Transfer != builder.Pushed || put.Descriptor.Digest != b.desc().Digest || b.runs.Load() != 1 {
		t.Errorf("PutBlob = %+v after %d runs, want it pushed in one", put, b.runs.Load())
	}
	if got := read(t, repo, put.Descriptor); got != b.body {
		t.Errorf("the registry has %d other bytes", len(got))
	}
}

func TestABlobThatIsThereIsNotProduced(t *testing.T) {
	rec := newRecorder()
	first := &blob{body: "layer"}
	if _, err := open(t, rec, 0).PutBlob(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	again := &blob{body: "layer", known: true}
	put, err := open(t, rec, 0).PutBlob(t.Context(), again)
	if err != nil || put.Transfer != builder.Reused || again.runs.Load() != 0 {
		t.Errorf("PutBlob = %v, %v after %d runs, want it reused without any", put, err, again.runs.Load())
	}
}

func TestAnUploadGoesInChunks(t *testing.T) {
	rec := newRecorder()
	repo := open(t, rec, 1000)
	put, err := repo.PutBlob(t.Context(), &blob{body: strings.Repeat("y", 3500)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := rec.count("PATCH"), 4; got != want {
		t.Errorf("%d PATCH requests, want %d", got, want)
	}
	if got := read(t, repo, put.Descriptor); len(got) != 3500 {
		t.Errorf("the registry has %d bytes, want 3500", len(got))
	}
}

func TestAfterAFailedChunkOnlyTheRestIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		var patches, received atomic.Int64
		rec.spoil = func(req *http.Request) *http.Response {
			switch {
			case req.Method == http.MethodPatch && patches.Add(1) == 3:
				return &http.Response{StatusCode: http.StatusBadGateway, Status: "502 Bad Gateway"}
			case req.Method == http.MethodPatch:
				req.Body = counted.Body(req.Body, &received)
			case req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/uploads/"):
				return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{"Range": {"0-1999"}, "Location": {req.URL.Path}}}
			}
			return nil
		}
		repo := open(t, rec, 1000)
		b := &blob{body: strings.Repeat("abcdefg", 500)}
		put, err := repo.PutBlob(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, repo, put.Descriptor); got != b.body {
			t.Error("the resumed blob has other bytes")
		}
		if got, want := received.Load(), int64(3500); got != want {
			t.Errorf("the registry took %d bytes, want each of %d once", got, want)
		}
	})
}

func TestALostSessionStartsAnewAndThenInOneBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		var patches atomic.Int64
		rec.spoil = func(req *http.Request) *http.Response {
			if req.Method == http.MethodPatch && patches.Add(1) == 2 {
				return &http.Response{StatusCode: http.StatusRequestedRangeNotSatisfiable, Status: "416"}
			}
			return nil
		}
		repo := open(t, rec, 1000)
		b := &blob{body: strings.Repeat("z", 2500)}
		put, err := repo.PutBlob(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, repo, put.Descriptor); got != b.body {
			t.Error("the registry has other bytes")
		}
		if got, want := patches.Load(), int64(3); got != want {
			t.Errorf("%d PATCH requests, want %d: two before the refusal, one with all", got, want)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		var posts atomic.Int64
		rec.spoil = func(req *http.Request) *http.Response {
			if req.Method == http.MethodPost && posts.Add(1) <= 2 {
				return &http.Response{StatusCode: http.StatusTooManyRequests, Status: "429", Header: http.Header{"Retry-After": {"20"}}}
			}
			return nil
		}
		start := time.Now()
		if _, err := open(t, rec, 0).PutBlob(t.Context(), &blob{body: "x"}); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < 40*time.Second || waited > 50*time.Second {
			t.Errorf("waited %v, want twice the 20 s that the registry asked for", waited)
		}
	})
}

func TestErrorsSayWhoseFaultTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		want   builder.Kind
	}{
		"unauthorised":  {http.StatusUnauthorized, builder.Auth},
		"forbidden":     {http.StatusForbidden, builder.Auth},
		"always broken": {http.StatusInternalServerError, builder.Transient},
		"refused":       {http.StatusTeapot, builder.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := newRecorder()
				rec.spoil = func(req *http.Request) *http.Response {
					if strings.Contains(req.URL.Path, "/games/") {
						return &http.Response{StatusCode: c.status, Status: http.StatusText(c.status)}
					}
					return nil
				}
				_, err := open(t, rec, 0).PutBlob(t.Context(), &blob{body: "x"})
				if builder.KindOf(err) != c.want || !strings.Contains(err.Error(), "registry.test/games") {
					t.Errorf("PutBlob: %v (kind %v), want kind %v and the repository's name", err, builder.KindOf(err), c.want)
				}
			})
		})
	}
}

func TestADamagedBlobIsFoundOut(t *testing.T) {
	rec := newRecorder()
	repo := open(t, rec, 0)
	put, err := repo.PutBlob(t.Context(), &blob{body: "good bytes"})
	if err != nil {
		t.Fatal(err)
	}
	rec.spoil = func(req *http.Request) *http.Response {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("evil bytes"))}
	}
	body, err := repo.OpenBlob(t.Context(), put.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(body); builder.KindOf(err) != builder.Input {
		t.Errorf("reading a damaged blob: %v, want an Input error", err)
	}
}

func TestManifestsAndTags(t *testing.T) {
	repo := open(t, newRecorder(), 0)
	ctx := t.Context()
	if _, err := repo.Head(ctx, "1.4"); !errors.Is(err, builder.ErrNotFound) {
		t.Errorf("Head of a tag that is not there: %v, want ErrNotFound", err)
	}
	raw := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	d, err := repo.PutManifest(ctx, string(types.OCIImageIndex), raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.Tag(ctx, "1.4", d, raw); err != nil {
		t.Fatal(err)
	}
	got, body, err := repo.Manifest(ctx, "1.4")
	if err != nil || got.Digest != d.Digest || !bytes.Equal(body, raw) {
		t.Errorf("Manifest = %v, %s, %v", got, body, err)
	}
}
