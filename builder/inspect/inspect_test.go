package inspect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
)

// store is a builder.Reader over what composing made.
type store map[string][]byte

func (s store) Manifest(_ context.Context, reference string) (v1.Descriptor, []byte, error) {
	raw, ok := s[reference]
	if !ok {
		return v1.Descriptor{}, nil, fmt.Errorf("%s: %w", reference, builder.ErrNotFound)
	}
	var m struct {
		MediaType types.MediaType `json:"mediaType"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return v1.Descriptor{}, nil, err
	}
	return v1.Descriptor{MediaType: m.MediaType, Digest: hash(string(raw)), Size: int64(len(raw))}, raw, nil
}

func (s store) Head(ctx context.Context, reference string) (v1.Descriptor, error) {
	d, _, err := s.Manifest(ctx, reference)
	return d, err
}

func (s store) OpenBlob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	raw, ok := s[d.Digest.String()]
	if !ok {
		return nil, builder.ErrNotFound
	}
	return builder.Verify(io.NopCloser(bytes.NewReader(raw)), d, "store"), nil
}

func (s store) HasBlob(_ context.Context, d v1.Descriptor) (bool, error) {
	_, ok := s[d.Digest.String()]
	return ok, nil
}

func (s store) put(raw []byte, tags ...string) {
	for _, name := range append(tags, hash(string(raw)).String()) {
		s[name] = raw
	}
}

func hash(s string) v1.Hash {
	h, _, err := v1.SHA256(strings.NewReader(s))
	if err != nil {
		panic(err)
	}
	return h
}

func layers(phase builder.Phase, names ...string) compose.Part {
	p := compose.Part{Phase: phase, InputDigest: hash(fmt.Sprint(names))}
	for _, n := range names {
		p.Layers = append(p.Layers, compose.Layer{
			Descriptor: v1.Descriptor{
				MediaType: types.OCIUncompressedLayer, Digest: hash(n), Size: 1000,
				Annotations: map[string]string{builder.AnnotationPhase: string(phase), builder.AnnotationLayerKey: hash("key " + n).String()},
			},
			DiffID: hash(n),
		})
	}
	return p
}

func publish(t *testing.T, s store, tag, code string) compose.Index {
	t.Helper()
	var platforms []compose.Platform
	for _, arch := range []string{"amd64", "arm64"} {
		platforms = append(platforms, compose.Platform{
			Platform: v1.Platform{OS: "linux", Architecture: arch},
			Parts:    []compose.Part{layers(builder.Assets, "a1", "a2"), layers(builder.Code, code+arch), layers(builder.Server, "s")},
		})
	}
	index, err := compose.Build(platforms, compose.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range index.Images {
		s.put(img.Config)
		s.put(img.Manifest)
	}
	s.put(index.Raw, tag)
	return index
}

func load(t *testing.T, s store, tag string) *inspect.Image {
	t.Helper()
	img, err := inspect.Load(t.Context(), s, tag)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestDescribeCountsSharedLayersOnce(t *testing.T) {
	s := store{}
	publish(t, s, "1", "c")
	r := inspect.Describe(load(t, s, "1"))
	if len(r.Platforms) != 2 || len(r.Platforms[0].Layers) != 4 {
		t.Fatalf("report = %+v", r)
	}
	// The server layer has the same bytes on both, but another chain below it: a node unpacks it for itself.
	for i, shared := range []bool{true, true, false, false} {
		if l := r.Platforms[1].Layers[i]; l.Shared != shared {
			t.Errorf("layer %d (%s): shared = %t, want %t", i, l.Phase, l.Shared, shared)
		}
	}
	if saved := r.NaiveBytes - r.StoredBytes; saved != 3000 {
		t.Errorf("sharing saves %d bytes, want the two asset layers and the server layer: 3000", saved)
	}
}

func TestLoadUnderstandsASingleManifest(t *testing.T) {
	s := store{}
	index := publish(t, s, "1", "c")
	img := load(t, s, index.Images[1].ManifestDescriptor.Digest.String())
	if len(img.Platforms) != 1 || img.Platforms[0].Platform.Architecture != "arm64" {
		t.Errorf("platforms = %+v, want arm64 alone", img.Platforms)
	}
	part, ok := img.Platforms[0].Part(builder.Assets)
	if !ok || len(part.Layers) != 2 || part.InputDigest != hash("[a1 a2]") {
		t.Errorf("assets part = %+v, %t", part, ok)
	}
	if _, ok := img.Platforms[0].Part(builder.Base); ok {
		t.Error("an image without a base phase has a base part")
	}
}

func TestLoadLeavesOutWhatIsNoImageForANode(t *testing.T) {
	s := store{}
	index := publish(t, s, "1", "c")
	var im v1.IndexManifest
	if err := json.Unmarshal(index.Raw, &im); err != nil {
		t.Fatal(err)
	}
	im.Manifests = append(im.Manifests, v1.Descriptor{
		MediaType: types.OCIManifestSchema1, Digest: hash("attestation"), Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
	})
	raw, err := json.Marshal(im)
	if err != nil {
		t.Fatal(err)
	}
	s.put(raw, "attested")
	if got := len(load(t, s, "attested").Platforms); got != 2 {
		t.Errorf("%d platforms, want 2", got)
	}
}

func TestLoadRefusesAnImageThatDoesNotHoldTogether(t *testing.T) {
	s := store{}
	index := publish(t, s, "1", "c")
	var m v1.Manifest
	if err := json.Unmarshal(index.Images[0].Manifest, &m); err != nil {
		t.Fatal(err)
	}
	m.Layers = m.Layers[1:]
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	s.put(raw, "short")
	if _, err := inspect.Load(t.Context(), s, "short"); builder.KindOf(err) != builder.Input {
		t.Errorf("Load with a layer missing: %v, want an Input error", err)
	}
	if _, err := inspect.Load(t.Context(), s, "nowhere"); !errors.Is(err, builder.ErrNotFound) {
		t.Errorf("Load of no image: %v, want ErrNotFound", err)
	}
}

func TestComparePullsOnlyWhatIsNew(t *testing.T) {
	s := store{}
	publish(t, s, "1", "c")
	publish(t, s, "2", "d")
	old, next := load(t, s, "1"), load(t, s, "2")

	d := inspect.Compare(old, next).Platforms[0]
	if len(d.Layers) != 2 || !d.Layers[0].Pull || d.Layers[1].Pull {
		t.Errorf("after new code: layers %+v, want the code pulled, and the server only unpacked on it", d.Layers)
	}
	if d.UnpackBytes != 2000 || d.ReusedBytes != 3000 {
		t.Errorf("unpacks %d, reuses %d, want 2000 and 3000", d.UnpackBytes, d.ReusedBytes)
	}
	if got := fmt.Sprint(d.Phases()); got != "[code server]" {
		t.Errorf("phases = %s", got)
	}
	if cold := inspect.Compare(nil, next).Platforms[1]; cold.ReusedBytes != 0 || cold.UnpackBytes != 4000 {
		t.Errorf("a cold node reuses %d and unpacks %d, want 0 and 4000", cold.ReusedBytes, cold.UnpackBytes)
	}
	if same := inspect.Compare(next, next).Platforms[0]; same.PullBytes != 0 || len(same.Layers) != 0 {
		t.Errorf("the same image costs %+v", same)
	}
}
