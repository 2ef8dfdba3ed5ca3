package tarball

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Tarball is a [builder.Repository] that collects what is put into it until [Tarball.Write]. Nothing can be read from it.
// A blob whose digest is not known is produced once to learn it, and once more by Write: a tar header wants the size first.
type Tarball struct {
	file string
	name string

	mu        sync.Mutex
	blobs     map[v1.Hash]builder.Blob
	manifests map[v1.Hash]manifest
	tags      map[string]v1.Descriptor
}

type manifest struct {
	desc v1.Descriptor
	raw  []byte
}

// New makes a tarball that will be written to file; name is the repository that docker shows the image under.
func New(file, name string) *Tarball {
	return &Tarball{file: file, name: name, blobs: map[v1.Hash]builder.Blob{}, manifests: map[v1.Hash]manifest{}, tags: map[string]v1.Descriptor{}}
}

// Name is the file.
func (t *Tarball) Name() string { return t.file }

// Manifest implements [builder.Reader]: there is never one.
func (t *Tarball) Manifest(_ context.Context, reference string) (v1.Descriptor, []byte, error) {
	return v1.Descriptor{}, nil, fmt.Errorf("manifest %s in %s: %w", reference, t.file, builder.ErrNotFound)
}

// Head implements [builder.Reader]: there is never one.
func (t *Tarball) Head(ctx context.Context, reference string) (v1.Descriptor, error) {
	d, _, err := t.Manifest(ctx, reference)
	return d, err
}

// OpenBlob implements [builder.Reader]: there is never one.
func (t *Tarball) OpenBlob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return nil, fmt.Errorf("blob %s in %s: %w", d.Digest, t.file, builder.ErrNotFound)
}

// HasBlob implements [builder.Reader].
func (t *Tarball) HasBlob(_ context.Context, d v1.Descriptor) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.blobs[d.Digest]
	return ok, nil
}

// PutBlob implements [builder.Repository].
func (t *Tarball) PutBlob(ctx context.Context, blob builder.Blob, _ ...string) (builder.Put, error) {
	d, known := blob.Descriptor()
	if !known {
		var err error
		if d, err = blob.WriteTo(ctx, io.Discard); err != nil {
			return builder.Put{}, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.blobs[d.Digest]; ok {
		return builder.Put{Descriptor: d, Transfer: builder.Reused}, nil
	}
	t.blobs[d.Digest] = blob
	return builder.Put{Descriptor: d, Transfer: builder.Pushed}, nil
}

// PutManifest implements [builder.Repository].
func (t *Tarball) PutManifest(_ context.Context, mediaType string, raw []byte) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: digest, Size: size}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.manifests[digest] = manifest{d, raw}
	return d, nil
}

// Tag implements [builder.Repository].
func (t *Tarball) Tag(_ context.Context, tag string, d v1.Descriptor, _ []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tags[tag] = d
	return nil
}

// Write writes the file, through a temporary one: on failure there is none, or the one that was there.
func (t *Tarball) Write(ctx context.Context) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(t.file), filepath.Base(t.file)+".tmp-*")
	if err != nil {
		return builder.Errorf(builder.Input, "name a file in a folder that is there with --tarball", "write tarball: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the error that matters is already there
		}
	}()
	err = t.writeTo(ctx, tmp)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", t.file, err)
	}
	return os.Rename(tmp.Name(), t.file)
}

func (t *Tarball) writeTo(ctx context.Context, w io.Writer) error {
	tw := tar.NewWriter(w)
	index, err := json.Marshal(t.index())
	if err != nil {
		return err
	}
	docker, err := t.dockerManifest()
	if err != nil {
		return err
	}
	small := []struct {
		name string
		raw  []byte
	}{{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", index}, {"manifest.json", docker}}
	for _, f := range small {
		if err := writeBytes(tw, f.name, f.raw); err != nil {
			return err
		}
	}
	for _, digest := range sortedKeys(t.manifests) {
		if err := writeBytes(tw, blobPath(digest), t.manifests[digest].raw); err != nil {
			return err
		}
	}
	for _, digest := range sortedKeys(t.blobs) {
		if err := writeBlob(ctx, tw, t.blobs[digest]); err != nil {
			return err
		}
	}
	return tw.Close()
}

func sortedKeys[V any](m map[v1.Hash]V) []v1.Hash {
	return slices.SortedFunc(maps.Keys(m), func(a, b v1.Hash) int { return bytes.Compare([]byte(a.Hex), []byte(b.Hex)) })
}

func blobPath(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

func header(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0)}
}

func writeBytes(tw *tar.Writer, name string, raw []byte) error {
	if err := tw.WriteHeader(header(name, int64(len(raw)))); err != nil {
		return err
	}
	_, err := tw.Write(raw)
	return err
}

func writeBlob(ctx context.Context, tw *tar.Writer, blob builder.Blob) error {
	d, ok := blob.Descriptor()
	if !ok {
		return errors.New("a blob has no descriptor after it was produced")
	}
	if err := tw.WriteHeader(header(blobPath(d.Digest), d.Size)); err != nil {
		return err
	}
	got, err := blob.WriteTo(ctx, tw)
	if err == nil && got.Digest != d.Digest {
		err = builder.Errorf(builder.Input, "let nothing write to the sources while they are built", "blob %s: %w", d.Digest, builder.ErrChanged)
	}
	return err
}

func (t *Tarball) index() v1.IndexManifest {
	out := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, tag := range slices.Sorted(maps.Keys(t.tags)) {
		d := t.tags[tag]
		out.Manifests = append(out.Manifests, v1.Descriptor{
			MediaType: d.MediaType, Digest: d.Digest, Size: d.Size,
			Annotations: map[string]string{"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": t.name + ":" + tag},
		})
	}
	return out
}

// dockerImage is an element of docker's manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerManifest lists one platform, as docker's old format can: this machine's, or else the first.
func (t *Tarball) dockerManifest() ([]byte, error) {
	var out []dockerImage
	for _, tag := range slices.Sorted(maps.Keys(t.tags)) {
		m, err := t.runnable(t.tags[tag])
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(out, func(d dockerImage) bool { return d.Config == blobPath(m.Config.Digest) })
		if i < 0 {
			i, out = len(out), append(out, dockerImage{Config: blobPath(m.Config.Digest)})
			for _, l := range m.Layers {
				out[i].Layers = append(out[i].Layers, blobPath(l.Digest))
			}
		}
		out[i].RepoTags = append(out[i].RepoTags, t.name+":"+tag)
	}
	return json.Marshal(out)
}

func (t *Tarball) runnable(d v1.Descriptor) (v1.Manifest, error) {
	var index v1.IndexManifest
	var m v1.Manifest
	if err := json.Unmarshal(t.manifests[d.Digest].raw, &index); err != nil {
		return m, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	if len(index.Manifests) == 0 {
		return m, fmt.Errorf("index %s lists no image", d.Digest)
	}
	chosen := index.Manifests[0]
	for _, child := range index.Manifests {
		if child.Platform != nil && child.Platform.Architecture == runtime.GOARCH {
			chosen = child
		}
	}
	if err := json.Unmarshal(t.manifests[chosen.Digest].raw, &m); err != nil {
		return m, fmt.Errorf("manifest %s: %w", chosen.Digest, err)
	}
	return m, nil
}
