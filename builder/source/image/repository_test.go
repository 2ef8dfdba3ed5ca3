package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// repository is a builder.Reader in memory. A blob whose bytes are not those of its digest shows at its end.
type repository struct {
	mu        sync.Mutex
	manifests map[string]manifest // by digest or tag
	blobs     map[v1.Hash][]byte
	opened    map[v1.Hash]int
}

type manifest struct {
	desc v1.Descriptor
	raw  []byte
}

var _ builder.Reader = (*repository)(nil)

func newRepository() *repository {
	return &repository{manifests: map[string]manifest{}, blobs: map[v1.Hash][]byte{}, opened: map[v1.Hash]int{}}
}

func (r *repository) Manifest(_ context.Context, reference string) (v1.Descriptor, []byte, error) {
	m, ok := r.manifests[reference]
	if !ok {
		return v1.Descriptor{}, nil, fmt.Errorf("manifest %s: %w", reference, builder.ErrNotFound)
	}
	return m.desc, m.raw, nil
}

func (r *repository) Head(ctx context.Context, reference string) (v1.Descriptor, error) {
	d, _, err := r.Manifest(ctx, reference)
	return d, err
}

func (r *repository) HasBlob(_ context.Context, d v1.Descriptor) (bool, error) {
	_, ok := r.blobs[d.Digest]
	return ok, nil
}

func (r *repository) OpenBlob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened[d.Digest]++
	blob, ok := r.blobs[d.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, builder.ErrNotFound)
	}
	got, _, err := v1.SHA256(bytes.NewReader(blob))
	if err != nil {
		return nil, err
	}
	end := io.EOF
	if got != d.Digest || int64(len(blob)) != d.Size {
		end = errors.New("blob has another digest")
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(blob), failing{end})), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (r *repository) put(t *testing.T, tags []string, media interface {
	RawManifest() ([]byte, error)
}, d v1.Descriptor,
) {
	t.Helper()
	raw, err := media.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range append(tags, d.Digest.String()) {
		r.manifests[tag] = manifest{v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: int64(len(raw))}, raw}
	}
}

func (r *repository) image(t *testing.T, img v1.Image, tags ...string) v1.Hash {
	t.Helper()
	digest, err := img.Digest()
	mediaType, err2 := img.MediaType()
	layers, err3 := img.Layers()
	config, err4 := img.RawConfigFile()
	name, err5 := img.ConfigName()
	if err := errors.Join(err, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	r.put(t, tags, img, v1.Descriptor{MediaType: mediaType, Digest: digest})
	r.blobs[name] = config
	for _, l := range layers {
		r.layer(t, l)
	}
	return digest
}

func (r *repository) layer(t *testing.T, l v1.Layer) {
	t.Helper()
	digest, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	body, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if r.blobs[digest], err = io.ReadAll(body); err != nil {
		t.Fatal(err)
	}
}

func (r *repository) index(t *testing.T, idx v1.ImageIndex, tags ...string) v1.Hash {
	t.Helper()
	digest, err := idx.Digest()
	mediaType, err2 := idx.MediaType()
	list, err3 := idx.IndexManifest()
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	r.put(t, tags, idx, v1.Descriptor{MediaType: mediaType, Digest: digest})
	for _, d := range list.Manifests {
		if d.MediaType.IsIndex() {
			child, err := idx.ImageIndex(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			r.index(t, child)
			continue
		}
		img, err := idx.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		r.image(t, img)
	}
	return digest
}
