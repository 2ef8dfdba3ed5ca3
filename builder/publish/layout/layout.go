package layout

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

const (
	refName = "org.opencontainers.image.ref.name"
	marker  = `{"imageLayoutVersion":"1.0.0"}`
	// maxManifest bounds what is read into memory.
	maxManifest = 4 << 20
)

// Layout is an OCI image layout: a [builder.Repository] in which several tags live. It is safe for concurrent use, also by
// several processes.
type Layout struct {
	dir string
	mu  sync.Mutex
}

// Open opens the layout in dir, or makes an empty one.
func Open(dir string) (*Layout, error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return nil, builder.Errorf(builder.Input, "name another folder with --layout", "open layout: %w", err)
	}
	l := &Layout{dir: dir}
	l.sweep()
	for name, content := range map[string]string{"oci-layout": marker, "index.json": emptyIndex()} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			continue // what is wrong with it shows when it is read; a layout that is complete may be read-only
		}
		if err := l.initialize(name, content); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// tmpPrefix begins the names of unfinished files; the process that writes one comes next.
const tmpPrefix = ".tmp-"

// sweep removes what processes that were killed left unfinished. What cannot be removed does no harm.
func (l *Layout) sweep() {
	files, err := filepath.Glob(filepath.Join(l.dir, tmpPrefix+"*"))
	if err != nil {
		return
	}
	for _, f := range files {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(f), tmpPrefix), "-")
		n, err := strconv.Atoi(pid)
		if err == nil && n > 0 && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			_ = os.Remove(f) // see above
		}
	}
}

// initialize makes a file unless another process did so meanwhile, whose tags must not be overwritten.
func (l *Layout) initialize(name, content string) error {
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(filepath.Join(l.dir, name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.replace(name, []byte(content))
}

// lock excludes everyone else who changes index.json, in this process and others.
func (l *Layout) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(l.dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", l.dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing is what releases it
}

func emptyIndex() string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[]}`, types.OCIImageIndex)
}

// Name is the folder.
func (l *Layout) Name() string { return l.dir }

func (l *Layout) blob(h v1.Hash) string { return filepath.Join(l.dir, "blobs", "sha256", h.Hex) }

// replace writes a file beside its place and renames it.
func (l *Layout) replace(name string, content []byte) error {
	_, err := l.write(filepath.Join(l.dir, name), func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	return err
}

// write makes a file through a temporary one; on failure nothing is left. The digest and size are those of what was written.
func (l *Layout) write(path string, fill func(io.Writer) error) (d v1.Descriptor, err error) {
	tmp, err := os.CreateTemp(l.dir, fmt.Sprintf("%s%d-*", tmpPrefix, os.Getpid()))
	if err != nil {
		return d, diskError(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name()) // the error that matters is already there
		}
	}()
	sum, size := sha256.New(), int64(0)
	err = fill(io.MultiWriter(tmp, sum, counter{&size}))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err != nil {
		return d, diskError(err)
	}
	d = v1.Descriptor{Digest: hashOf(sum), Size: size}
	if path == "" {
		path = l.blob(d.Digest)
	}
	return d, os.Rename(tmp.Name(), path)
}

type counter struct{ n *int64 }

func (c counter) Write(p []byte) (int, error) {
	*c.n += int64(len(p))
	return len(p), nil
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return builder.Errorf(builder.Input, "free some space, then run the build again", "%w", err)
	}
	return err
}

// HasBlob implements [builder.Reader].
func (l *Layout) HasBlob(_ context.Context, d v1.Descriptor) (bool, error) {
	info, err := os.Stat(l.blob(d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Size() == d.Size, err
}

// PutBlob implements [builder.Repository].
func (l *Layout) PutBlob(ctx context.Context, blob builder.Blob, _ ...string) (builder.Put, error) {
	want, known := blob.Descriptor()
	if known {
		have, err := l.HasBlob(ctx, want)
		if err != nil || have {
			return builder.Put{Descriptor: want, Transfer: builder.Reused}, err
		}
	}
	got, err := l.write("", func(w io.Writer) error {
		d, err := blob.WriteTo(ctx, w)
		if err == nil && known && d.Digest != want.Digest {
			return builder.Errorf(builder.Input, "let nothing write to the sources while they are built", "blob %s: %w", want.Digest, builder.ErrChanged)
		}
		want = d
		return err
	})
	if err != nil {
		return builder.Put{}, err
	}
	if got.Digest != want.Digest || got.Size != want.Size {
		return builder.Put{}, fmt.Errorf("blob %s was written as %s", want.Digest, got.Digest)
	}
	return builder.Put{Descriptor: want, Transfer: builder.Pushed}, nil
}

// PutManifest implements [builder.Repository].
func (l *Layout) PutManifest(ctx context.Context, mediaType string, raw []byte) (v1.Descriptor, error) {
	if err := l.complete(ctx, raw); err != nil {
		return v1.Descriptor{}, err
	}
	d, err := l.write("", func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
	d.MediaType = types.MediaType(mediaType)
	return d, err
}

// complete holds that all that a manifest or index lists is here.
func (l *Layout) complete(ctx context.Context, raw []byte) error {
	var m struct {
		Config    *v1.Descriptor
		Layers    []v1.Descriptor
		Manifests []v1.Descriptor
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return builder.Errorf(builder.Input, "", "manifest: %w", err)
	}
	needed := slices.Concat(m.Layers, m.Manifests)
	if m.Config != nil {
		needed = append(needed, *m.Config)
	}
	for _, d := range needed {
		have, err := l.HasBlob(ctx, d)
		if err != nil {
			return err
		}
		if !have {
			return builder.Errorf(builder.Input, "run the build again", "manifest lists %s, which is not in %s", d.Digest, l.dir)
		}
	}
	return nil
}

// Tag implements [builder.Repository].
func (l *Layout) Tag(_ context.Context, tag string, d v1.Descriptor, _ []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	index, err := l.index()
	if err != nil {
		return err
	}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(have v1.Descriptor) bool { return have.Annotations[refName] == tag })
	index.Manifests = append(index.Manifests, v1.Descriptor{
		MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Annotations: map[string]string{refName: tag},
	})
	slices.SortFunc(index.Manifests, func(a, b v1.Descriptor) int { return strings.Compare(a.Annotations[refName], b.Annotations[refName]) })
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return l.replace("index.json", raw)
}

func (l *Layout) index() (v1.IndexManifest, error) {
	var index v1.IndexManifest
	raw, err := os.ReadFile(filepath.Join(l.dir, "index.json"))
	if err != nil {
		return index, err
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return index, builder.Errorf(builder.Input, "delete the folder and build again", "%s: index.json: %w", l.dir, err)
	}
	return index, nil
}

// Head implements [builder.Reader].
func (l *Layout) Head(ctx context.Context, reference string) (v1.Descriptor, error) {
	d, _, err := l.Manifest(ctx, reference)
	return d, err
}

// Manifest implements [builder.Reader].
func (l *Layout) Manifest(_ context.Context, reference string) (v1.Descriptor, []byte, error) {
	d, err := l.find(reference)
	if err != nil {
		return d, nil, err
	}
	f, err := os.Open(l.blob(d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil, fmt.Errorf("manifest %s in %s: %w", d.Digest, l.dir, builder.ErrNotFound)
	}
	if err != nil {
		return d, nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return d, nil, err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return d, nil, err
	}
	if digest != d.Digest || size > maxManifest {
		return d, nil, builder.Errorf(builder.Input, "build or copy the image again", "manifest %s in %s is damaged", d.Digest, l.dir)
	}
	d.Size = size
	if d.MediaType == "" {
		d.MediaType = mediaTypeOf(raw)
	}
	return d, raw, nil
}

func (l *Layout) find(reference string) (v1.Descriptor, error) {
	if h, err := v1.NewHash(reference); err == nil {
		return v1.Descriptor{Digest: h}, nil
	}
	index, err := l.index()
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, d := range index.Manifests {
		if d.Annotations[refName] == reference {
			return v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, nil
		}
	}
	return v1.Descriptor{}, builder.Errorf(builder.Input, "", "tag %s in %s: %w", reference, l.dir, builder.ErrNotFound)
}

// mediaTypeOf reads what a manifest says of itself.
func mediaTypeOf(raw []byte) types.MediaType {
	var m struct {
		MediaType types.MediaType `json:"mediaType"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return ""
	}
	return m.MediaType
}

// OpenBlob implements [builder.Reader].
func (l *Layout) OpenBlob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	f, err := os.Open(l.blob(d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s in %s: %w", d.Digest, l.dir, builder.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return builder.Verify(f, d, l.dir), nil
}
