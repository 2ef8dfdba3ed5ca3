package attach_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
)

const (
	kind    = "application/vnd.example.list"
	maxList = 1 << 20
)

// beside is an empty index in a layout, with a list of contents attached.
func beside(t *testing.T, parts []attach.Part) (dir string, repo builder.Repository, image v1.Hash) {
	t.Helper()
	dir = t.TempDir()
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	const index = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	d, err := l.PutManifest(t.Context(), "application/vnd.oci.image.index.v1+json", []byte(index))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := attach.Put(t.Context(), l, d, kind, parts); err != nil {
		t.Fatal(err)
	}
	return dir, l, d.Digest
}

func packed(t *testing.T, contents ...[]byte) []attach.Part {
	t.Helper()
	parts, err := attach.Pack(kind+"+zstd", contents...)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestWhatIsPackedComesBack(t *testing.T) {
	contents := [][]byte{[]byte("one"), bytes.Repeat([]byte("two"), 100_000), {}}
	_, repo, image := beside(t, packed(t, contents...))
	got, err := attach.ReadPacked(t.Context(), repo, image, kind, maxList)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(contents) {
		t.Fatalf("%d contents, want %d", len(got), len(contents))
	}
	for i := range contents {
		if !bytes.Equal(got[i], contents[i]) {
			t.Errorf("content %d: %d bytes, want %d", i, len(got[i]), len(contents[i]))
		}
	}
	if diff := cmp.Diff(packed(t, contents[1])[0], packed(t, contents...)[1]); diff != "" {
		t.Errorf("equal contents are other parts (-alone +in company):\n%s", diff)
	}
}

func TestAnArtifactThatIsNotThereIsNotADamagedOne(t *testing.T) {
	_, repo, image := beside(t, packed(t, []byte("one")))
	if _, err := attach.ReadPacked(t.Context(), repo, image, "application/vnd.example.other", maxList); !errors.Is(err, builder.ErrNotFound) {
		t.Errorf("nothing of that type: %v, want ErrNotFound", err)
	}
	for name, c := range map[string]struct {
		parts []attach.Part
		spoil func(t *testing.T, dir string, part v1.Hash)
		want  string
	}{
		"a part is lost":           {packed(t, []byte("one")), remove, "lacks a part"},
		"a part is not compressed": {[]attach.Part{{MediaType: kind, Content: []byte("one")}}, nil, "unpack part 0"},
		"a part is too large":      {packed(t, make([]byte, maxList+1)), nil, "unpack part 0"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, repo, image := beside(t, c.parts)
			if c.spoil != nil {
				digest, _, err := v1.SHA256(bytes.NewReader(c.parts[0].Content))
				if err != nil {
					t.Fatal(err)
				}
				c.spoil(t, dir, digest)
			}
			_, err := attach.ReadPacked(t.Context(), repo, image, kind, maxList)
			if builder.KindOf(err) != builder.Input || errors.Is(err, builder.ErrNotFound) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v of kind %d, want %q of kind %d", err, builder.KindOf(err), c.want, builder.Input)
			}
		})
	}
}

func remove(t *testing.T, dir string, part v1.Hash) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "blobs", part.Algorithm, part.Hex)); err != nil {
		t.Fatal(err)
	}
}
