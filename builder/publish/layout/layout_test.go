package layout_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
)

type blob struct {
	body  string
	known bool
	fail  error
	runs  int
}

func (b *blob) desc() v1.Descriptor {
	h, n, _ := v1.SHA256(strings.NewReader(b.body))
	return v1.Descriptor{Digest: h, Size: n}
}
func (b *blob) Descriptor() (v1.Descriptor, bool) { return b.desc(), b.known }
func (b *blob) SizeHint() int64                   { return int64(len(b.body)) }

func (b *blob) WriteTo(_ context.Context, w io.Writer) (v1.Descriptor, error) {
	b.runs++
	if _, err := io.WriteString(w, b.body); err != nil {
		return v1.Descriptor{}, err
	}
	return b.desc(), b.fail
}

func open(t *testing.T) (*layout.Layout, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image.oci")
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l, dir
}

func TestBlobsAreWrittenOnce(t *testing.T) {
	l, _ := open(t)
	b := &blob{body: "layer"}
	put, err := l.PutBlob(t.Context(), b)
	if err != nil || put.Transfer != builder.Pushed {
		t.Fatalf("PutBlob = %v, %v", put, err)
	}
	again := &blob{body: "layer", known: true}
	if put, err := l.PutBlob(t.Context(), again); err != nil || put.Transfer != builder.Reused || again.runs != 0 {
		t.Errorf("PutBlob again = %v, %v after %d runs, want it reused without any", put, err, again.runs)
	}
	body, err := l.OpenBlob(t.Context(), put.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if raw, err := io.ReadAll(body); err != nil || string(raw) != "layer" {
		t.Errorf("OpenBlob = %q, %v", raw, err)
	}
}

func TestAFailedBlobLeavesNothing(t *testing.T) {
	l, dir := open(t)
	if _, err := l.PutBlob(t.Context(), &blob{body: "half", fail: errors.New("cut")}); err == nil {
		t.Fatal("PutBlob: no error")
	}
	for _, glob := range []string{"blobs/sha256/*", ".tmp-*"} {
		if left, _ := filepath.Glob(filepath.Join(dir, glob)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestADamagedBlobIsFoundOut(t *testing.T) {
	l, dir := open(t)
	put, err := l.PutBlob(t.Context(), &blob{body: "good"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256", put.Descriptor.Digest.Hex), []byte("evil"), 0o644); err != nil {
		t.Fatal(err)
	}
	body, err := l.OpenBlob(t.Context(), put.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadAll(body); builder.KindOf(err) != builder.Input {
		t.Errorf("reading a damaged blob: %v, want an Input error", err)
	}
}

func TestATagMoves(t *testing.T) {
	l, dir := open(t)
	ctx := t.Context()
	if _, err := l.Head(ctx, "v1"); !errors.Is(err, builder.ErrNotFound) {
		t.Errorf("Head before: %v, want ErrNotFound", err)
	}
	for _, raw := range []string{`{"a":1}`, `{"a":2}`} {
		d, err := l.PutManifest(ctx, string(types.OCIImageIndex), []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Tag(ctx, "v1", d, []byte(raw)); err != nil {
			t.Fatal(err)
		}
	}
	again, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	d, raw, err := again.Manifest(ctx, "v1")
	if err != nil || string(raw) != `{"a":2}` || d.MediaType != types.OCIImageIndex {
		t.Errorf("Manifest = %v, %s, %v, want the newer one", d, raw, err)
	}
}
