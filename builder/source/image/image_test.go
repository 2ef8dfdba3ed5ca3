package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/image"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ builder.Source = (*image.Source)(nil)

var (
	amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = v1.Platform{OS: "linux", Architecture: "arm64"}
)

// file is an entry of a layer: a folder if its name ends in "/", a symlink if the text begins with "-> ", a hard link
// if it begins with "=> ".
type file struct {
	name, text string
	mode       int64
	uid        int
}

// archive is a layer's tar archive.
func archive(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.text)), Mode: f.mode, Uid: f.uid}
		switch {
		case strings.HasSuffix(f.name, "/"):
			h.Typeflag, h.Size = tar.TypeDir, 0
		case strings.HasPrefix(f.text, "-> "):
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.text[3:], 0
		case strings.HasPrefix(f.text, "=> "):
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, f.text[3:], 0
		}
		if h.Mode == 0 {
			h.Mode = map[byte]int64{tar.TypeDir: 0o755}[h.Typeflag] | 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func layer(t testing.TB, files ...file) v1.Layer {
	t.Helper()
	return layerOf(t, archive(t, files...))
}

func layerOf(t testing.TB, content []byte, options ...tarball.LayerOption) v1.Layer {
	t.Helper()
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	l, err := tarball.LayerFromOpener(open, options...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// imageOf is an image for p.
func imageOf(t testing.TB, p v1.Platform, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return platformed(t, img, p)
}

func platformed(t testing.TB, img v1.Image, p v1.Platform) v1.Image {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	config.Config = v1.Config{User: "1000", Env: []string{"ARCH=" + p.Architecture}}
	img, err = mutate.ConfigFile(img, config)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func child(img v1.Image, p *v1.Platform) mutate.IndexAddendum {
	return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}}
}

func source(t testing.TB, r builder.Reader, reference string) *image.Source {
	t.Helper()
	store, err := pack.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return image.New(image.Options{
		Ref: "example.com/base:" + reference, Store: store,
		Open: func(context.Context, string) (builder.Reader, string, error) { return r, reference, nil },
	})
}

func resolve(t testing.TB, s *image.Source, p v1.Platform) *image.Resolved {
	t.Helper()
	r, err := s.Resolve(t.Context(), p)
	if err != nil {
		t.Fatalf("Resolve(%s): %v", p, err)
	}
	return r.(*image.Resolved)
}

// flattened is the tree of an image of these layers, one entry a line.
func flattened(t *testing.T, layers ...v1.Layer) []string {
	t.Helper()
	repo := newRepository()
	repo.image(t, imageOf(t, amd64, layers...), "latest")
	tree, err := resolve(t, source(t, repo, "latest"), amd64).Tree(t.Context())
	if err != nil {
		t.Fatalf("Tree: %v", err)
	}
	return list(t, tree)
}

func list(t testing.TB, tree builder.Tree) []string {
	t.Helper()
	var lines []string
	for _, e := range tree.Entries {
		line := e.Path
		switch e.Type {
		case builder.Dir:
			line += "/"
		case builder.Symlink:
			line += " -> " + e.Link
		case builder.Hardlink:
			line += " => " + e.Link
		case builder.Regular:
			line += " " + read(t, e)
		}
		usual := map[builder.Type]uint32{builder.Dir: 0o755, builder.Symlink: 0o777, builder.Regular: 0o644, builder.Hardlink: 0o644}
		if e.Mode != usual[e.Type] || e.UID != 0 {
			line += fmt.Sprintf(" %o %d", e.Mode, e.UID)
		}
		lines = append(lines, line)
	}
	return lines
}

func read(t testing.TB, e builder.Entry) string {
	t.Helper()
	r, err := e.Content.Open()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func wantError(t *testing.T, err error, kind builder.Kind, says ...string) {
	t.Helper()
	e, ok := errors.AsType[*builder.Error](err)
	if !ok || e.Kind != kind {
		t.Fatalf("error is %v of kind %d, want kind %d", err, builder.KindOf(err), kind)
	}
	if e.Hint == "" {
		t.Errorf("error %q has no hint", err)
	}
	for _, s := range append(says, "example.com/base") {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

func TestLayersAreLaidOverEachOther(t *testing.T) {
	base := layer(t, file{name: "etc/"}, file{name: "etc/a", text: "old"}, file{name: "etc/b", text: "b"},
		file{name: "usr/lib/"}, file{name: "usr/lib/x", text: "x"}, file{name: "lib", text: "-> usr/lib"},
		file{name: "root/", mode: 0o700}, file{name: "tmp/", mode: 0o1777}, file{name: "bin/su", text: "#!", mode: 0o4755},
		file{name: "home/me/", mode: 0o750, uid: 1000})
	for name, test := range map[string]struct {
		layers []v1.Layer
		gone   []string // of the base
		now    []string
	}{
		"a file replaces a file": {
			[]v1.Layer{layer(t, file{name: "./etc/a", text: "new", mode: 0o600})},
			[]string{"etc/a old"},
			[]string{"etc/a new 600 0"},
		},
		"a whiteout hides a file": {
			[]v1.Layer{layer(t, file{name: "etc/.wh.a"})}, []string{"etc/a old"}, nil,
		},
		"a whiteout hides a folder with all in it": {
			[]v1.Layer{layer(t, file{name: ".wh.etc"})}, []string{"etc/", "etc/a old", "etc/b b"}, nil,
		},
		"a whiteout comes before what its layer adds, wherever it stands": {
			[]v1.Layer{layer(t, file{name: "etc/a", text: "new"}, file{name: "etc/.wh.a"})},
			[]string{"etc/a old"},
			[]string{"etc/a new"},
		},
		"an opaque folder keeps what its layer has": {
			[]v1.Layer{layer(t, file{name: "etc/"}, file{name: "etc/c", text: "c"}, file{name: "etc/.wh..wh..opq"})},
			[]string{"etc/a old", "etc/b b"},
			[]string{"etc/c c"},
		},
		"an opaque root": {
			[]v1.Layer{layer(t, file{name: "root/"}, file{name: "tmp/"}, file{name: ".wh..wh..opq"})},
			[]string{
				"bin/", "bin/su #! 4755 0", "etc/", "etc/a old", "etc/b b", "home/", "home/me/ 750 1000", "lib -> usr/lib",
				"root/ 700 0", "tmp/ 1777 0", "usr/", "usr/lib/", "usr/lib/x x",
			},
			[]string{"root/", "tmp/"},
		},
		"a whiteout of nothing, and names that only look like one": {
			[]v1.Layer{layer(t, file{name: "etc/.wh.nothing"}, file{name: "etc/.wh."}, file{name: "etc/.wh.."}, file{name: "etc/.wh..."},
				file{name: "etc/.wh..wh.plnk"}, file{name: "etc/x.wh.y", text: "y"})},
			nil,
			[]string{"etc/x.wh.y y"},
		},
		"hidden and made again": {
			[]v1.Layer{layer(t, file{name: ".wh.etc"}), layer(t, file{name: "etc/b", text: "again"})},
			[]string{"etc/a old", "etc/b b"},
			[]string{"etc/b again"},
		},
		"a file takes a folder's place": {
			[]v1.Layer{layer(t, file{name: "etc", text: "file"})},
			[]string{"etc/", "etc/a old", "etc/b b"},
			[]string{"etc file"},
		},
		"a folder takes a link's place": {
			[]v1.Layer{layer(t, file{name: "lib/"}, file{name: "lib/y", text: "y"})},
			[]string{"lib -> usr/lib"},
			[]string{"lib/", "lib/y y"},
		},
		"a file in a folder that is not listed goes where a link leads": {
			[]v1.Layer{layer(t, file{name: "lib/sub/y", text: "y"}), layer(t, file{name: "lib/.wh.x"}, file{name: "lib/z", text: "z"})},
			[]string{"usr/lib/x x"},
			[]string{"usr/lib/sub/", "usr/lib/sub/y y", "usr/lib/z z"},
		},
		"a folder that is not listed keeps its permissions": {
			[]v1.Layer{layer(t, file{name: "root/x", text: "x"}, file{name: "home/me/x", text: "x"})},
			nil,
			[]string{"root/x x", "home/me/x x"},
		},
		"a folder that is listed changes them": {
			[]v1.Layer{layer(t, file{name: "root/"})}, []string{"root/ 700 0"}, []string{"root/"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := flattened(t, base)
			want = slices.DeleteFunc(want, func(line string) bool { return slices.Contains(test.gone, line) })
			want = append(want, test.now...)
			got := flattened(t, append([]v1.Layer{base}, test.layers...)...)
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHardLinksSurviveTheLayersAbove(t *testing.T) {
	base := layer(t, file{name: "bin/"}, file{name: "bin/box", text: "box"}, file{name: "bin/awk", text: "=> bin/box"},
		file{name: "bin/cat", text: "=> bin/box"})
	if diff := cmp.Diff([]string{"bin/", "bin/awk box", "bin/box => bin/awk", "bin/cat => bin/awk"}, flattened(t, base)); diff != "" {
		t.Errorf("base (-want +got):\n%s", diff)
	}
	above := layer(t, file{name: "bin/box", text: "new"}, file{name: "bin/.wh.awk"})
	if diff := cmp.Diff([]string{"bin/", "bin/box new", "bin/cat box"}, flattened(t, base, above)); diff != "" {
		t.Errorf("with a layer above (-want +got):\n%s", diff)
	}
}

func TestLinksAreFollowedWithinTheRootAndNotForever(t *testing.T) {
	ring := layer(t, file{name: "a", text: "-> b"}, file{name: "b", text: "-> a"}, file{name: "root", text: "-> /"})
	want := []string{"a/", "a/x x", "b -> a", "root -> /", "x x"}
	if diff := cmp.Diff(want, flattened(t, ring, layer(t, file{name: "a/x", text: "x"}, file{name: "root/x", text: "x"}))); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestEveryCompressionIsRead(t *testing.T) {
	content := archive(t, file{name: "a", text: "content"})
	for name, l := range map[string]v1.Layer{
		"gzip":         layerOf(t, content),
		"zstd":         layerOf(t, content, tarball.WithCompression(compression.ZStd), tarball.WithMediaType(types.OCILayerZStd)),
		"none":         static.NewLayer(content, types.OCIUncompressedLayer),
		"mislabelled":  static.NewLayer(content, types.DockerLayer),
		"oci gzip":     layerOf(t, content, tarball.WithMediaType(types.OCILayer)),
		"docker plain": static.NewLayer(content, types.DockerUncompressedLayer),
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff([]string{"a content"}, flattened(t, l)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThePlatformIsPickedFromTheIndex(t *testing.T) {
	windows := v1.Platform{OS: "windows", Architecture: "amd64"}
	armv7 := v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
	arm64v8 := v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	attestation, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	shared := layer(t, file{name: "shared", text: "s"})
	idx := mutate.AppendManifests(empty.Index,
		child(imageOf(t, windows), &windows),
		child(imageOf(t, amd64, shared, layer(t, file{name: "arch", text: "amd64"})), &amd64),
		child(imageOf(t, arm64v8, shared, layer(t, file{name: "arch", text: "arm64"})), &arm64v8),
		child(imageOf(t, armv7), &armv7),
		child(attestation, &v1.Platform{OS: "unknown", Architecture: "unknown"}))
	repo := newRepository()
	digest := repo.index(t, idx, "v1")
	list2, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	s := source(t, repo, "v1")
	for i, p := range []v1.Platform{amd64, arm64} {
		r := resolve(t, s, p)
		if got, err := r.InputDigest(t.Context()); err != nil || got != list2.Manifests[1+i].Digest {
			t.Errorf("InputDigest for %s = %v, %v, want %s", p, got, err, list2.Manifests[1+i].Digest)
		}
		if diff := cmp.Diff([]builder.Pin{{Name: "example.com/base:v1", Digest: digest}}, r.Pins()); diff != "" {
			t.Errorf("pins (-want +got):\n%s", diff)
		}
		if got := r.Pending(); got <= 0 {
			t.Errorf("Pending = %d, want the layers' size", got)
		}
		config := r.Config()
		if config.Config.User != "1000" || !slices.Equal(config.Config.Env, []string{"ARCH=" + p.Architecture}) {
			t.Errorf("Config = %+v", config.Config)
		}
		tree, err := r.Tree(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"arch " + p.Architecture, "shared s"}, list(t, tree)); diff != "" {
			t.Errorf("tree for %s (-want +got):\n%s", p, diff)
		}
		if got := r.Pending(); got != 0 {
			t.Errorf("Pending = %d after Tree, want 0", got)
		}
	}
	sharedDigest, err := shared.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got := repo.opened[sharedDigest]; got != 1 {
		t.Errorf("the layer of both platforms was fetched %d times", got)
	}
	for _, p := range []v1.Platform{{OS: "linux", Architecture: "s390x"}, {OS: "linux", Architecture: "arm", Variant: "v6"}} {
		_, err := s.Resolve(t.Context(), p)
		wantError(t, err, builder.Input, p.String(), "linux/amd64", "linux/arm64/v8", "linux/arm/v7", "windows/amd64")
		if strings.Contains(err.Error(), "unknown") {
			t.Errorf("error %q offers an attestation", err)
		}
	}
}

func TestAnImageWithoutAnIndexMustBeForThePlatform(t *testing.T) {
	repo := newRepository()
	repo.image(t, imageOf(t, arm64, layer(t, file{name: "a"})), "v1")
	resolve(t, source(t, repo, "v1"), arm64)
	_, err := source(t, repo, "v1").Resolve(t.Context(), amd64)
	wantError(t, err, builder.Input, "linux/amd64", "linux/arm64")
}

func TestAnImageThatIsNotThereIsAnInputError(t *testing.T) {
	_, err := source(t, newRepository(), "nosuch").Resolve(t.Context(), amd64)
	wantError(t, err, builder.Input, "nosuch")
	if !errors.Is(err, builder.ErrNotFound) {
		t.Errorf("error %v does not match ErrNotFound", err)
	}
}

func TestARegistryThatFailsIsNotTheImagesFault(t *testing.T) {
	down := builder.Errorf(builder.Transient, "try again", "registry is down")
	s := image.New(image.Options{Ref: "example.com/base", Open: func(context.Context, string) (builder.Reader, string, error) { return nil, "", down }})
	_, err := s.Resolve(t.Context(), amd64)
	wantError(t, err, builder.Transient, "registry is down")
}

func TestAPoisonedImageIsRefused(t *testing.T) {
	good := layer(t, file{name: "a", text: "good"})
	evil := layer(t, file{name: "a", text: "evil"})
	goodDigest, err := good.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, poison := range map[string]func(*repository){
		"another layer under its digest": func(r *repository) {
			r.layer(t, evil)
			d, _ := evil.Digest()
			r.blobs[goodDigest] = r.blobs[d]
		},
		"a layer cut short":          func(r *repository) { r.blobs[goodDigest] = r.blobs[goodDigest][:50] },
		"one byte of a layer":        func(r *repository) { r.blobs[goodDigest][60] ^= 1 },
		"more bytes behind a layer":  func(r *repository) { r.blobs[goodDigest] = append(r.blobs[goodDigest], "more"...) },
		"an empty layer":             func(r *repository) { r.blobs[goodDigest] = nil },
		"a layer that is not there":  func(r *repository) { delete(r.blobs, goodDigest) },
		"a layer that is no archive": func(r *repository) { r.blobs[goodDigest] = bytes.Repeat([]byte("x"), 2000) },
	} {
		t.Run(name, func(t *testing.T) {
			repo := newRepository()
			repo.image(t, imageOf(t, amd64, good), "v1")
			poison(repo)
			r := resolve(t, source(t, repo, "v1"), amd64)
			if tree, err := r.Tree(t.Context()); err == nil || !strings.Contains(err.Error(), goodDigest.String()) {
				t.Errorf("Tree = %v, %v, want an error that names the layer", list(t, tree), err)
			}
			repo.layer(t, good)
			if tree, err := r.Tree(t.Context()); err != nil || !slices.Equal(list(t, tree), []string{"a good"}) {
				t.Errorf("Tree after the repair = %v, %v", list(t, tree), err)
			}
		})
	}
}

// A config can claim for a layer that is in the registry, and whole, to hold something else.
func TestALayerThatIsNotWhatTheConfigSaysIsRefused(t *testing.T) {
	good, other := layer(t, file{name: "a", text: "good"}), layer(t, file{name: "a", text: "other"})
	img := imageOf(t, amd64, good)
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	repo := newRepository()
	repo.image(t, img, "good")
	config = config.DeepCopy()
	if config.RootFS.DiffIDs[0], err = other.DiffID(); err != nil {
		t.Fatal(err)
	}
	lying, err := mutate.ConfigFile(img, config)
	if err != nil {
		t.Fatal(err)
	}
	repo.image(t, lying, "lying")
	reference := "good"
	store, err := pack.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := image.New(image.Options{
		Ref: "example.com/base", Store: store,
		Open: func(context.Context, string) (builder.Reader, string, error) { return repo, reference, nil },
	})
	if _, err := resolve(t, s, amd64).Tree(t.Context()); err != nil {
		t.Fatal(err)
	}
	reference = "lying"
	_, err = resolve(t, s, amd64).Tree(t.Context())
	wantError(t, err, builder.Input, "digest")
}

func TestManifestsThatDoNotHoldTogetherAreRefused(t *testing.T) {
	img := imageOf(t, amd64, layer(t, file{name: "a"}))
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	configName, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	raw := func(mediaType types.MediaType, text string) func(*repository) {
		return func(r *repository) {
			h, n, err := v1.SHA256(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			r.manifests["v1"] = manifest{v1.Descriptor{MediaType: mediaType, Digest: h, Size: n}, []byte(text)}
		}
	}
	for name, test := range map[string]struct {
		poison func(*repository)
		want   string
	}{
		"a manifest with another digest": {func(r *repository) {
			m := r.manifests["v1"]
			m.raw = append(bytes.Clone(m.raw), ' ')
			r.manifests["v1"] = m
		}, "digest"},
		"a config with another digest": {func(r *repository) { r.blobs[configName] = []byte("{}") }, "config"},
		"an old format":                {raw("application/vnd.docker.distribution.manifest.v1+prettyjws", "{}"), "no image"},
		"no JSON":                      {raw(types.OCIManifestSchema1, "<html>"), "JSON"},
		"no JSON in an index":          {raw(types.OCIImageIndex, "<html>"), "JSON"},
		"an empty index":               {raw(types.OCIImageIndex, "{}"), "no platform at all"},
		"a child of another size": {raw(types.OCIImageIndex, fmt.Sprintf(
			`{"manifests":[{"mediaType":%q,"digest":%q,"size":1,"platform":{"os":"linux","architecture":"amd64"}}]}`,
			types.DockerManifestSchema2, digest)), "index says"},
		"a huge config": {raw(types.OCIManifestSchema1, `{"config":{"digest":"`+digest.String()+`","size":99999999999}}`), "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			repo := newRepository()
			repo.image(t, img, "v1")
			test.poison(repo)
			_, err := source(t, repo, "v1").Resolve(t.Context(), amd64)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Resolve = %v, want an error about %q", err, test.want)
			}
		})
	}
}

func TestLayersThatCannotBeUnpackedAreNamed(t *testing.T) {
	foreign := static.NewLayer(archive(t, file{name: "a"}), types.DockerForeignLayer)
	repo := newRepository()
	repo.image(t, imageOf(t, amd64, foreign), "v1")
	_, err := source(t, repo, "v1").Resolve(t.Context(), amd64)
	wantError(t, err, builder.Input, "foreign")
}

func TestIndexesInIndexesAreFollowedSoFar(t *testing.T) {
	idx := mutate.AppendManifests(empty.Index, child(imageOf(t, amd64, layer(t, file{name: "a"})), &amd64))
	for depth := range 6 {
		repo := newRepository()
		repo.index(t, idx, "v1")
		_, err := source(t, repo, "v1").Resolve(t.Context(), amd64)
		if want := depth < 3; (err == nil) != want {
			t.Errorf("with %d indexes: Resolve = %v", depth+1, err)
		}
		idx = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: idx, Descriptor: v1.Descriptor{Platform: &amd64}})
	}
}

func TestRandomImagesAreReadWhole(t *testing.T) {
	img, err := random.Image(10_000, 8)
	if err != nil {
		t.Fatal(err)
	}
	img = platformed(t, img, amd64)
	repo := newRepository()
	repo.image(t, img, "v1")
	tree, err := resolve(t, source(t, repo, "v1"), amd64).Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Entries) != 8 || tree.Size() < 80_000 {
		t.Errorf("the tree has %d entries with %d bytes", len(tree.Entries), tree.Size())
	}
}

func TestACancelledTreeFails(t *testing.T) {
	repo := newRepository()
	repo.image(t, imageOf(t, amd64, layer(t, file{name: "a"})), "v1")
	r := resolve(t, source(t, repo, "v1"), amd64)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Tree(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Tree = %v, want the context's error", err)
	}
}
