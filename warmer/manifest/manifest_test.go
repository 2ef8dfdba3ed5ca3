package manifest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/manifest"
)

const (
	ociIndex     = "application/vnd.oci.image.index.v1+json"
	ociManifest  = "application/vnd.oci.image.manifest.v1+json"
	ociConfig    = "application/vnd.oci.image.config.v1+json"
	ociLayer     = "application/vnd.oci.image.layer.v1.tar"
	dockerLayers = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

func digest(n int) warmer.Digest { return warmer.Digest(fmt.Sprintf("sha256:%064x", n)) }

type doc map[string]any

func raw(t testing.TB, v any) []byte {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func index(platforms ...string) doc {
	var list []doc
	for i, p := range platforms {
		m := doc{"mediaType": ociManifest, "digest": digest(i), "size": 10}
		if parts := strings.Split(p, "/"); p != "" {
			m["platform"] = doc{"os": parts[0], "architecture": parts[1], "variant": strings.Join(parts[2:], "")}
		}
		list = append(list, m)
	}
	return doc{"mediaType": ociIndex, "manifests": list}
}

func TestIsIndex(t *testing.T) {
	for _, c := range []struct {
		name      string
		mediaType string
		doc       doc
		want      bool
		err       bool
	}{
		{"an index", "", index("linux/amd64"), true, false},
		{"an index that only the registry calls so", ociIndex, doc{}, true, false},
		{"a manifest", "", doc{"mediaType": ociManifest, "config": doc{}}, false, false},
		{"a manifest that nobody calls so", "", doc{"config": doc{}}, false, false},
		{"both", "", doc{"mediaType": ociManifest, "config": doc{}, "manifests": []doc{{}}}, false, true},
		{"a manifest that the registry calls an index", ociIndex, doc{"config": doc{}}, false, true},
		{"neither", "text/html", doc{}, false, true},
		{"an old manifest", "application/vnd.docker.distribution.manifest.v1+json", doc{"fsLayers": []doc{}}, false, true},
	} {
		got, err := manifest.IsIndex(warmer.Descriptor{MediaType: c.mediaType, Digest: digest(1)}, raw(t, c.doc))
		if got != c.want || (err != nil) != c.err || err != nil && !errors.Is(err, manifest.ErrInvalid) {
			t.Errorf("%s: IsIndex = %t, %v", c.name, got, err)
		}
	}
	for _, text := range []string{"", "{", "[]", `"x"`, strings.Repeat(" ", manifest.MaxBytes+1)} {
		if _, err := manifest.IsIndex(warmer.Descriptor{Digest: digest(1)}, []byte(text)); !errors.Is(err, manifest.ErrInvalid) {
			t.Errorf("IsIndex(%.10q) = %v", text, err)
		}
	}
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		name      string
		platforms []string
		want      string
		found     int
	}{
		{"its own", []string{"linux/arm64", "linux/amd64"}, "linux/amd64", 1},
		{"the variant of arm64 is understood", []string{"linux/amd64", "linux/arm64/v8"}, "linux/arm64", 1},
		{"the best variant of arm", []string{"linux/arm/v5", "linux/arm/v7", "linux/arm/v6"}, "linux/arm/v7", 1},
		{"the first of two", []string{"linux/amd64", "linux/amd64"}, "linux/amd64", 0},
		{"the only one that does not say", []string{"", "linux/arm64"}, "linux/amd64", 0},
		{"none", []string{"windows/amd64", "linux/arm64"}, "linux/amd64", -1},
		{"two that do not say", []string{"", ""}, "linux/amd64", -1},
	} {
		got, err := manifest.Select(digest(99), raw(t, index(c.platforms...)), c.want)
		if c.found < 0 {
			if !errors.Is(err, warmer.ErrNotSupported) {
				t.Errorf("%s: Select = %v, %v", c.name, got, err)
			}
			continue
		}
		if err != nil || got.Digest != digest(c.found) {
			t.Errorf("%s: Select = %v, %v, want number %d", c.name, got, err, c.found)
		}
	}
	if _, err := manifest.Select(digest(1), raw(t, index("linux/amd64")), "a/b/c/d/e"); err == nil {
		t.Error("Select for a platform that is none")
	}
	many := make([]string, manifest.MaxManifests+1)
	if _, err := manifest.Select(digest(1), raw(t, index(many...)), "linux/amd64"); !errors.Is(err, manifest.ErrInvalid) {
		t.Errorf("Select of too many: %v", err)
	}
	evil := raw(t, index("li\x1b[31mnux/arm64"))
	if _, err := manifest.Select(digest(1), evil, "linux/amd64"); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("Select = %q, want it without escapes", err)
	}
}

func image(layers ...doc) doc {
	return doc{"mediaType": ociManifest, "config": doc{"mediaType": ociConfig, "digest": digest(50), "size": 2}, "layers": layers}
}

func layer(n int, phase string) doc {
	l := doc{"mediaType": ociLayer, "digest": digest(n), "size": 100 + n}
	if phase != "" {
		l["annotations"] = doc{"dev.pitcrew.phase": phase}
	}
	return l
}

func config(n int) doc {
	var diffs []warmer.Digest
	for i := range n {
		diffs = append(diffs, digest(1000+i))
	}
	return doc{"os": "linux", "architecture": "amd64", "rootfs": doc{"type": "layers", "diff_ids": diffs}}
}

func read(t testing.TB, m, c doc) (warmer.Image, error) {
	t.Helper()
	d := warmer.Descriptor{Digest: digest(7)}
	return manifest.Image(d, d, raw(t, m), "linux/amd64", func(warmer.Descriptor) ([]byte, error) { return raw(t, c), nil })
}

func TestImage(t *testing.T) {
	got, err := read(t, image(layer(1, "assets"), layer(2, "base"), layer(3, "nonsense")), config(3))
	if err != nil {
		t.Fatal(err)
	}
	var phases []string
	for _, l := range got.Layers {
		phases = append(phases, l.Phase)
	}
	if diff := cmp.Diff([]string{"assets", "base", "other"}, phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if got.Layers[0].ChainID != digest(1000) || got.Layers[0].Size != 101 || len(warmer.Assets.Select(got.Layers)) != 1 {
		t.Errorf("layers: %+v", got.Layers)
	}
	// sha256sum of the two diff IDs with a space between them.
	if want := warmer.Digest("sha256:4198f76bd07bc70f3aceac792042e72f71aedd5ddb038d3785c3a3aad7f2b284"); got.Layers[1].ChainID != want {
		t.Errorf("chain ID = %s, want %s", got.Layers[1].ChainID, want)
	}
}

func TestImagesThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		manifest, config doc
		want             error
	}{
		"without a configuration":        {doc{"layers": []doc{}}, config(0), manifest.ErrInvalid},
		"an artifact":                    {doc{"config": doc{"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(1), "size": 2}}, config(0), warmer.ErrNotSupported},
		"fewer layers than diff IDs":     {image(layer(1, "")), config(2), manifest.ErrInvalid},
		"more layers than can be":        {image(make([]doc, manifest.MaxLayers+1)...), config(manifest.MaxLayers + 1), manifest.ErrInvalid},
		"a digest that is a path":        {image(doc{"mediaType": ociLayer, "digest": "sha256:../../etc/passwd", "size": 1}), config(1), manifest.ErrInvalid},
		"a negative size":                {image(doc{"mediaType": ociLayer, "digest": digest(1), "size": -1}), config(1), manifest.ErrInvalid},
		"a layer of two sizes":           {image(layer(1, ""), doc{"mediaType": ociLayer, "digest": digest(1), "size": 1}), config(2), manifest.ErrInvalid},
		"a layer that is something else": {image(doc{"mediaType": "text/html", "digest": digest(1), "size": 1}), config(1), warmer.ErrNotSupported},
		"another platform":               {image(), doc{"os": "linux", "architecture": "riscv64"}, warmer.ErrNotSupported},
		"a diff ID that is none":         {image(layer(1, "")), doc{"rootfs": doc{"diff_ids": []string{"x"}}}, manifest.ErrInvalid},
		"a huge configuration":           {doc{"config": doc{"mediaType": ociConfig, "digest": digest(1), "size": manifest.MaxBytes + 1}}, config(0), manifest.ErrInvalid},
	} {
		if _, err := read(t, c.manifest, c.config); !errors.Is(err, c.want) {
			t.Errorf("%s: Image = %v, want %v", name, err, c.want)
		}
	}
	if got, err := read(t, image(doc{"mediaType": dockerLayers, "digest": digest(1), "size": 1}), config(1)); err != nil || len(got.Layers) != 1 {
		t.Errorf("an image of Docker's: %v", err)
	}
}

func TestChildrenAreWhatIsKept(t *testing.T) {
	got, err := manifest.Children(digest(1), raw(t, image(layer(1, ""), layer(2, ""))))
	if err != nil || len(got) != 3 || got[0].Digest != digest(50) || got[2].Digest != digest(2) {
		t.Errorf("Children of a manifest = %v, %v", got, err)
	}
	got, err = manifest.Children(digest(1), raw(t, index("linux/amd64", "linux/arm64")))
	if err != nil || len(got) != 2 {
		t.Errorf("Children of an index = %v, %v", got, err)
	}
	if _, err := manifest.Children(digest(1), []byte(`{"manifests":[{"digest":"x"}]}`)); !errors.Is(err, manifest.ErrInvalid) {
		t.Errorf("Children = %v", err)
	}
}

func FuzzImage(f *testing.F) {
	f.Add(raw(f, image(layer(1, "assets"), layer(2, ""))), raw(f, config(2)))
	f.Add(raw(f, index("linux/amd64", "linux/arm64/v8", "")), []byte("{}"))
	f.Add([]byte(`{"manifests":[{"platform":null}],"layers":null}`), []byte(`{"rootfs":{"diff_ids":[null]}}`))
	f.Add([]byte(`{"config":{"size":1e99}}`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, m, c []byte) {
		d := warmer.Descriptor{Digest: digest(1)}
		_, _ = manifest.IsIndex(d, m)
		_ = manifest.MediaType(m)
		if got, err := manifest.Select(d.Digest, m, "linux/amd64"); err == nil && got.Digest.Validate() != nil {
			t.Errorf("Select = %v", got)
		}
		children, err := manifest.Children(d.Digest, m)
		for _, x := range children {
			if err == nil && (x.Digest.Validate() != nil || x.Size < 0) {
				t.Errorf("Children has %v", x)
			}
		}
		i, err := manifest.Image(d, d, m, "linux/amd64", func(warmer.Descriptor) ([]byte, error) { return c, nil })
		if err != nil {
			return
		}
		for _, l := range i.Layers {
			if l.Digest.Validate() != nil || l.DiffID.Validate() != nil || l.ChainID.Validate() != nil || l.Size < 0 || l.Phase == "" {
				t.Errorf("Image has layer %+v", l)
			}
		}
	})
}
