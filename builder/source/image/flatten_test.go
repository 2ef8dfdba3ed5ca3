package image_test

import (
	"path"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/image"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/tarpack"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// parts are what paths in FuzzFlatten are made of.
var parts = []string{"a", "b", "lib", ".wh.a", ".wh.lib", ".wh..wh..opq", ".wh..", ".wh..wh.plnk"}

// scripted makes a layer of some bytes of a script: three for each entry.
func scripted(script []byte) (files []file) {
	for ; len(script) >= 3; script = script[3:] {
		name := parts[script[0]%8]
		if script[0]&8 != 0 {
			name = parts[script[0]>>4%3] + "/" + name
		}
		if script[0]&128 != 0 {
			name = parts[script[1]>>4%3] + "/" + name
		}
		f := file{name: name, text: parts[script[2]%8]}
		switch script[1] % 5 {
		case 0:
			f.name += "/"
		case 1:
			f.text = "-> " + parts[script[2]%3]
		case 2:
			f.text = "-> /" + parts[script[2]%3] + "/" + parts[script[2]>>4%3]
		case 3:
			f.text = "=> " + parts[script[2]%3]
		}
		files = append(files, f)
	}
	return files
}

// Whatever layers hold, what comes out is a tree: sorted, each path once, with all folders, and without marks.
func FuzzFlatten(f *testing.F) {
	f.Add([]byte("\x02\x01\x00abc\x09\x04\x03"), []byte("\x0a\x04\x01\x03\x04\x05"), []byte("\x05\x04\x00"))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var layers []tarpack.Contents
		for i, script := range [][]byte{a, b, c} {
			if len(script) > 60 {
				return
			}
			store, err := pack.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			tree, err := store.Fill(t.Context(), v1.Hash{Algorithm: "sha256", Hex: "ab"}, func(w *pack.Writer) error {
				return tarpack.Add(t.Context(), w, strings.NewReader(string(archive(t, scripted(script)...))))
			})
			if err != nil {
				return // a layer in itself may be damaged
			}
			contents, err := tarpack.Read(tree)
			if err != nil {
				t.Fatalf("layer %d: %v", i, err)
			}
			layers = append(layers, contents)
		}
		wantTree(t, image.Flatten(layers))
	})
}

func wantTree(t *testing.T, tree builder.Tree) {
	t.Helper()
	types := map[string]builder.Type{".": builder.Dir}
	last := ""
	for _, e := range tree.Entries {
		if e.Path <= last {
			t.Errorf("%q stands behind %q", e.Path, last)
		}
		last = e.Path
		if types[path.Dir(e.Path)] != builder.Dir {
			t.Errorf("%q lies in no folder", e.Path)
		}
		if strings.HasPrefix(path.Base(e.Path), ".wh.") || e.Path != path.Clean(e.Path) || path.IsAbs(e.Path) {
			t.Errorf("%q is in the tree", e.Path)
		}
		if e.Type == builder.Hardlink && types[e.Link] != builder.Regular {
			t.Errorf("%q is a link to %q, which is no file before it", e.Path, e.Link)
		}
		if (e.Type == builder.Regular) != (e.Content != nil) {
			t.Errorf("%q of type %d has content: %t", e.Path, e.Type, e.Content != nil)
		}
		types[e.Path] = e.Type
	}
}
