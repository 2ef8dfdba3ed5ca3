package tarpack_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/inodes"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/tarpack"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// roundTrip packs an archive whose regular files hold their first names, and reads it from a store opened anew.
func roundTrip(t *testing.T, headers ...tar.Header) (tarpack.Contents, error) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(h.Name[:h.Size])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir, key := t.TempDir(), v1.Hash{Algorithm: "sha256", Hex: "ab"}
	store, err := pack.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := store.Fill(t.Context(), key, func(w *pack.Writer) error { return tarpack.Add(t.Context(), w, &b) })
	if err != nil {
		return tarpack.Contents{}, err
	}
	c, err := tarpack.Read(tree)
	if err != nil {
		t.Fatal(err)
	}
	again, ok, err := store.Tree(key)
	if err != nil || !ok {
		t.Fatalf("the store lost the pack: %v", err)
	}
	if c2, err := tarpack.Read(again); err != nil || len(c2.Nodes) != len(c.Nodes) {
		t.Errorf("read again: %d nodes, %v, want %d", len(c2.Nodes), err, len(c.Nodes))
	}
	return c, nil
}

func list(c tarpack.Contents) []string {
	var out []string
	for _, e := range inodes.Join(slices.Clone(c.Nodes)).Entries {
		line := fmt.Sprintf("%s %o %d:%d", e.Path, e.Mode, e.UID, e.GID)
		if e.Link != "" {
			line += " to " + e.Link
		}
		if c.Implied[e.Path] {
			line += " implied"
		}
		out = append(out, line)
	}
	return out
}

func TestNothingIsLostThatAnArchiveSays(t *testing.T) {
	c, err := roundTrip(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeDir, Name: "./root/", Mode: 0o700},
		tar.Header{Typeflag: tar.TypeDir, Name: "./mail/", Mode: 0o2775, Gid: 8},
		tar.Header{Typeflag: tar.TypeReg, Name: "./bin/su", Mode: 0o4755},
		tar.Header{Typeflag: tar.TypeReg, Name: "./bin/box", Mode: 0o711, Uid: 5},
		tar.Header{Typeflag: tar.TypeLink, Name: "./bin/awk", Linkname: "./bin/box"},
		tar.Header{Typeflag: tar.TypeLink, Name: "./bin/cat", Linkname: "bin/awk"},
		tar.Header{Typeflag: tar.TypeReg, Name: "./usual", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./link", Linkname: "/bin/su", Uid: 7},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bin 755 0:0 implied", "bin/awk 711 5:0", "bin/box 711 5:0 to bin/awk", "bin/cat 711 5:0 to bin/awk", "bin/su 4755 0:0",
		"link 777 7:0 to /bin/su", "mail 2775 0:8", "root 700 0:0", "usual 644 0:0",
	}
	if diff := cmp.Diff(want, list(c)); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
}

func TestTheLastOfSeveralEntriesCounts(t *testing.T) {
	c, err := roundTrip(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o600},
		tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"},
		tar.Header{Typeflag: tar.TypeReg, Name: "./a", Mode: 0o644}, // other content
		tar.Header{Typeflag: tar.TypeLink, Name: "c", Linkname: "a"},
		tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "c"},
		tar.Header{Typeflag: tar.TypeReg, Name: "d", Uid: 3, Mode: 0o644},
		tar.Header{Typeflag: tar.TypeDir, Name: "d", Mode: 0o755},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a 644 0:0", "b 600 0:0", "c 644 0:0 to a", "d 755 0:0"}
	if diff := cmp.Diff(want, list(c)); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
}

func TestNamesAndOwnersThatCannotBeAreRefused(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"the reserved name": {Typeflag: tar.TypeReg, Name: "./.wh..wh.pitcrew"},
		"below it":          {Typeflag: tar.TypeReg, Name: ".wh..wh.pitcrew/x"},
		"huge owner":        {Typeflag: tar.TypeReg, Name: "a", Uid: 1 << 40},
		"upwards":           {Typeflag: tar.TypeReg, Name: "../a"},
		"device":            {Typeflag: tar.TypeChar, Name: "null"},
	} {
		if _, err := roundTrip(t, h); builder.KindOf(err) != builder.Input {
			t.Errorf("%s: error is %v of kind %d, want an Input error", name, err, builder.KindOf(err))
		}
	}
}

func TestATreeOfAnotherKindIsNotRead(t *testing.T) {
	if _, err := tarpack.Read(builder.Tree{}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("Read of an empty tree = %v, want an error", err)
	}
}

// Whatever the order of entries and links, the notes never make two files one that differ.
func FuzzLinks(f *testing.F) {
	f.Add([]byte("rarblbarc"))
	f.Fuzz(func(t *testing.T, script []byte) {
		var headers []tar.Header
		for i := 0; i+1 < len(script) && i < 40; i += 2 {
			h := tar.Header{Typeflag: tar.TypeReg, Name: string('a' + script[i]%4), Mode: 0o600 + int64(script[i]>>5)}
			if script[i+1]%2 == 0 {
				h.Typeflag, h.Linkname = tar.TypeLink, string('a'+script[i+1]/2%4)
			} else {
				h.Name = "./" + h.Name
			}
			headers = append(headers, h)
		}
		c, err := roundTrip(t, headers...)
		if err != nil {
			return
		}
		sums := map[*inodes.Inode]map[v1.Hash]bool{}
		for _, n := range c.Nodes {
			if n.Inode != nil {
				if sums[n.Inode] == nil {
					sums[n.Inode] = map[v1.Hash]bool{}
				}
				sums[n.Inode][n.SHA256] = true
			}
		}
		for _, s := range sums {
			if len(s) > 1 {
				t.Errorf("one file has the digests %v", slices.Collect(maps.Keys(s)))
			}
		}
	})
}
