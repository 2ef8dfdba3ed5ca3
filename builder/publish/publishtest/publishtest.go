// Package publishtest is the conformance test of [builder.Repository]: every implementation passes it, the real ones and
// those that tests use.
package publishtest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Blob is a virtual blob for tests. Its zero value is empty and not known.
type Blob struct {
	Body  string
	Known bool
	// Next, when set, is what every pass after the first yields.
	Next string
	// Fail is returned after the bytes were written.
	Fail error

	runs atomic.Int32
}

// Runs is how often the bytes were produced.
func (b *Blob) Runs() int { return int(b.runs.Load()) }

func describe(body string) v1.Descriptor {
	h, n, err := v1.SHA256(strings.NewReader(body))
	if err != nil {
		panic(err) // a strings.Reader does not fail
	}
	return v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: h, Size: n}
}

// Descriptor implements [builder.Blob].
func (b *Blob) Descriptor() (v1.Descriptor, bool) {
	if b.Known {
		return describe(b.Body), true
	}
	return v1.Descriptor{MediaType: types.OCILayerZStd}, false
}

// SizeHint implements [builder.Blob].
func (b *Blob) SizeHint() int64 { return int64(len(b.Body)) }

// WriteTo implements [builder.Blob].
func (b *Blob) WriteTo(ctx context.Context, w io.Writer) (v1.Descriptor, error) {
	body := b.Body
	if b.runs.Add(1) > 1 && b.Next != "" || b.Known && b.Next != "" {
		body = b.Next
	}
	for rest := body; rest != ""; {
		if err := ctx.Err(); err != nil {
			return v1.Descriptor{}, err
		}
		n, err := io.WriteString(w, rest[:min(len(rest), 1000)])
		if err != nil {
			return v1.Descriptor{}, err
		}
		rest = rest[n:]
	}
	return describe(body), b.Fail
}

// Run tests a repository. open gives an empty one each time.
func Run(t *testing.T, open func(t *testing.T) builder.Repository) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, builder.Repository){
		"streams a blob of unknown digest in one pass":  streams,
		"does not produce a blob that is there":         reuses,
		"finds out that a known blob changed":           changed,
		"keeps nothing of a blob that was not produced": failing,
		"stops with the context":                        cancelled,
		"takes one blob from many at once":              concurrent,
		"says what is not there":                        absent,
		"keeps manifests and moves tags":                manifests,
		"refuses a manifest without its blobs":          dangling,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func body(seed string) string { return strings.Repeat(seed+" of a layer ", 5000) }

func read(t *testing.T, r builder.Repository, d v1.Descriptor) string {
	t.Helper()
	body, err := r.OpenBlob(t.Context(), d)
	if err != nil {
		t.Fatalf("OpenBlob(%v): %v", d.Digest, err)
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read %v: %v", d.Digest, err)
	}
	return string(raw)
}

func put(t *testing.T, r builder.Repository, b *Blob) builder.Put {
	t.Helper()
	p, err := r.PutBlob(t.Context(), b)
	if err != nil {
		t.Fatalf("PutBlob: %v", err)
	}
	return p
}

func streams(t *testing.T, r builder.Repository) {
	t.Helper()
	b := &Blob{Body: body("stream")}
	p := put(t, r, b)
	if p.Transfer != builder.Pushed || p.Descriptor.Digest != describe(b.Body).Digest || b.Runs() != 1 {
		t.Errorf("PutBlob = %+v after %d passes, want it pushed in one", p, b.Runs())
	}
	if got := read(t, r, p.Descriptor); got != b.Body {
		t.Errorf("read back %d other bytes", len(got))
	}
}

func reuses(t *testing.T, r builder.Repository) {
	t.Helper()
	put(t, r, &Blob{Body: body("reuse"), Known: true})
	again := &Blob{Body: body("reuse"), Known: true}
	if p := put(t, r, again); p.Transfer != builder.Reused || again.Runs() != 0 {
		t.Errorf("PutBlob = %v after %d passes, want it reused without any", p.Transfer, again.Runs())
	}
}

func changed(t *testing.T, r builder.Repository) {
	t.Helper()
	b := &Blob{Body: body("before"), Known: true, Next: body("after")}
	_, err := r.PutBlob(t.Context(), b)
	if !errors.Is(err, builder.ErrChanged) || builder.KindOf(err) != builder.Input {
		t.Errorf("PutBlob of a blob that changed: %v, want an Input error that matches ErrChanged", err)
	}
	if have, err := r.HasBlob(t.Context(), describe(b.Body)); have || err != nil {
		t.Errorf("HasBlob = %t, %v, want the blob absent", have, err)
	}
}

func failing(t *testing.T, r builder.Repository) {
	t.Helper()
	b := &Blob{Body: body("fail"), Fail: builder.Errorf(builder.Input, "", "the source broke")}
	if _, err := r.PutBlob(t.Context(), b); builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "the source broke") {
		t.Errorf("PutBlob: %v, want the producer's own error", err)
	}
	if have, err := r.HasBlob(t.Context(), describe(b.Body)); have || err != nil {
		t.Errorf("HasBlob = %t, %v, want the blob absent", have, err)
	}
}

func cancelled(t *testing.T, r builder.Repository) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.PutBlob(ctx, &Blob{Body: body("cancel")}); !errors.Is(err, context.Canceled) {
		t.Errorf("PutBlob after cancel: %v, want context.Canceled", err)
	}
}

func concurrent(t *testing.T, r builder.Repository) {
	t.Helper()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := r.PutBlob(t.Context(), &Blob{Body: body("many"), Known: true}); err != nil {
				t.Errorf("PutBlob: %v", err)
			}
		})
	}
	wg.Wait()
	if got := read(t, r, describe(body("many"))); got != body("many") {
		t.Errorf("read back %d other bytes", len(got))
	}
}

func absent(t *testing.T, r builder.Repository) {
	t.Helper()
	ctx := t.Context()
	d := describe("nowhere")
	if _, _, err := r.Manifest(ctx, "nowhere"); !errors.Is(err, builder.ErrNotFound) {
		t.Errorf("Manifest of a tag: %v, want ErrNotFound", err)
	}
	if _, err := r.Head(ctx, d.Digest.String()); !errors.Is(err, builder.ErrNotFound) {
		t.Errorf("Head of a digest: %v, want ErrNotFound", err)
	}
	if _, err := r.OpenBlob(ctx, d); !errors.Is(err, builder.ErrNotFound) {
		t.Errorf("OpenBlob: %v, want ErrNotFound", err)
	}
	if have, err := r.HasBlob(ctx, d); have || err != nil {
		t.Errorf("HasBlob = %t, %v, want absent", have, err)
	}
}

const emptyConfig = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`

func manifestOf(note string) []byte {
	c := describe(emptyConfig)
	return []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` +
		c.Digest.String() + `","size":` + "78" + `},"layers":[],"annotations":{"note":"` + note + `"}}`)
}

func manifests(t *testing.T, r builder.Repository) {
	t.Helper()
	ctx := t.Context()
	put(t, r, &Blob{Body: emptyConfig, Known: true})
	for _, note := range []string{"first", "second"} {
		raw := manifestOf(note)
		d, err := r.PutManifest(ctx, string(types.OCIManifestSchema1), raw)
		if err != nil {
			t.Fatalf("PutManifest: %v", err)
		}
		if err := r.Tag(ctx, "v1", d, raw); err != nil {
			t.Fatalf("Tag: %v", err)
		}
		for _, reference := range []string{"v1", d.Digest.String()} {
			got, body, err := r.Manifest(ctx, reference)
			if err != nil || got.Digest != d.Digest || string(body) != string(raw) || got.MediaType != types.OCIManifestSchema1 {
				t.Errorf("Manifest(%s) = %v, %s, %v", reference, got, body, err)
			}
			if head, err := r.Head(ctx, reference); err != nil || head.Digest != d.Digest || head.MediaType != types.OCIManifestSchema1 {
				t.Errorf("Head(%s) = %v, %v", reference, head, err)
			}
		}
	}
}

func dangling(t *testing.T, r builder.Repository) {
	t.Helper()
	raw := manifestOf("its config is not there")
	if d, err := r.PutManifest(t.Context(), string(types.OCIManifestSchema1), raw); err == nil {
		t.Errorf("PutManifest = %v, want an error: its config is not there", d)
	}
}
