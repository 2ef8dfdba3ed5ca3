package warmertest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// Layer is a layer of a test's image.
type Layer struct {
	// Phase is the builder's annotation; none if empty.
	Phase string
	// Files have their contents by path. A content that begins with ELF is a program.
	Files map[string]string
	// Zstd compresses it.
	Zstd bool
}

// Bytes is a file's content: as many bytes as asked for, which do not compress and are the same for the same seed.
func Bytes(seed uint64, size int) string {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	out := make([]byte, size)
	_, _ = r.Read(out) // never fails
	return string(out)
}

// Reference is a tag in this registry.
func (r *Registry) Reference(repository string) string { return r.Host + "/" + repository }

// Layers are the digests of the layers of this machine's image of a tag, bottom first.
func (r *Registry) Layers(tag string) []string {
	r.t.Helper()
	image, err := remote.Image(r.parse(tag), remote.WithContext(r.t.Context()), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := image.Manifest()
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, l := range m.Layers {
		out = append(out, l.Digest.String())
	}
	return out
}

// Push stores an index with an image for this machine and one for another architecture, whose asset layers are the same,
// under a tag ("game:1"), and returns the index's digest.
func (r *Registry) Push(tag string, layers ...Layer) string {
	r.t.Helper()
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range []string{other, runtime.GOARCH} {
		mine := layers
		if arch == other {
			mine = append([]Layer(nil), layers...)
			for i := range mine {
				if mine[i].Phase != "assets" {
					mine[i].Files = map[string]string{"for": arch, "n": fmt.Sprint(i)}
				}
			}
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: Image(r.t, arch, mine...), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	r.PushIndex(tag, index)
	digest, err := index.Digest()
	if err != nil {
		r.t.Fatal(err)
	}
	return digest.String()
}

// PushIndex stores any index.
func (r *Registry) PushIndex(tag string, index v1.ImageIndex) {
	r.t.Helper()
	if err := remote.WriteIndex(r.parse(tag), index, remote.WithContext(r.t.Context())); err != nil {
		r.t.Fatal(err)
	}
}

// PushImage stores an image without an index.
func (r *Registry) PushImage(tag string, image v1.Image) {
	r.t.Helper()
	if err := remote.Write(r.parse(tag), image, remote.WithContext(r.t.Context())); err != nil {
		r.t.Fatal(err)
	}
}

func (r *Registry) parse(tag string) name.Reference {
	r.t.Helper()
	ref, err := name.ParseReference(r.Reference(tag), name.Insecure)
	if err != nil {
		r.t.Fatal(err)
	}
	return ref
}

// Image makes one.
func Image(t testing.TB, arch string, layers ...Layer) v1.Image {
	t.Helper()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Config.Cmd = []string{"/game"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		add := mutate.Addendum{Layer: l.make(t)}
		if l.Phase != "" {
			add.Annotations = map[string]string{"dev.pitcrew.phase": l.Phase}
		}
		if image, err = mutate.Append(image, add); err != nil {
			t.Fatal(err)
		}
	}
	return image
}

// packed has the digest of the unpacked layer, which static layers do not.
type packed struct {
	v1.Layer
	diff v1.Hash
}

func (p packed) DiffID() (v1.Hash, error) { return p.diff, nil }

func (l Layer) make(t testing.TB) v1.Layer {
	t.Helper()
	raw := l.tar(t)
	diff, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if !l.Zstd {
		return packed{static.NewLayer(raw, types.OCIUncompressedLayer), diff}
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return packed{static.NewLayer(w.EncodeAll(raw, nil), types.OCILayerZStd), diff}
}

func (l Layer) tar(t testing.TB) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for path, content := range sorted(l.Files) {
		mode := int64(0o644)
		if strings.HasPrefix(content, "\x7fELF") {
			mode = 0o755
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Size: int64(len(content)), Mode: mode}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
