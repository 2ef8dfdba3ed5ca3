package pack_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

func key(s string) v1.Hash {
	h, _, _ := v1.SHA256(strings.NewReader(s))
	return h
}

func archive(t *testing.T, headers ...tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		body := strings.Repeat("x", int(h.Size))
		if err := errors.Join(w.WriteHeader(&h), writeBody(w, body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func writeBody(w io.Writer, body string) error {
	_, err := io.WriteString(w, body)
	return err
}

func open(t *testing.T) (*pack.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := pack.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func fill(t *testing.T, s *pack.Store, r io.Reader, o pack.TarOptions) (builder.Tree, error) {
	t.Helper()
	return s.Fill(t.Context(), key("a"), func(w *pack.Writer) error { return w.AddTar(t.Context(), r, o) })
}

func TestAnArchiveIsUnpackedOnceAndReadBack(t *testing.T) {
	s, _ := open(t)
	in := archive(t, tar.Header{Name: "./d/f", Typeflag: tar.TypeReg, Size: 3, Mode: 0o4711},
		tar.Header{Name: "d/l", Typeflag: tar.TypeSymlink, Linkname: "f"}, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "d/f"})
	if _, err := fill(t, s, in, pack.TarOptions{}); err != nil {
		t.Fatal(err)
	}
	tree, err := s.Fill(t.Context(), key("a"), func(*pack.Writer) error { return errors.New("called again") })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range tree.Entries {
		got = append(got, e.Path)
	}
	if want := "d d/f d/l h"; strings.Join(got, " ") != want {
		t.Fatalf("paths = %v, want %s", got, want)
	}
	f := tree.Entries[1]
	if f.Mode != 0o755 || f.SHA256 != key("xxx") {
		t.Errorf("file = %o %v, want 0755 (no setuid) and its digest", f.Mode, f.SHA256)
	}
	body, err := tree.Entries[3].Content.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if raw, err := io.ReadAll(body); err != nil || string(raw) != "xxx" {
		t.Errorf("hard link's content = %q, %v", raw, err)
	}
}

func TestHostileArchivesAreRefusedAndLeaveNothing(t *testing.T) {
	file := tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 1}
	for name, headers := range map[string][]tar.Header{
		"a name above the root":    {{Name: "../a", Typeflag: tar.TypeReg}},
		"an absolute name":         {{Name: "/etc/passwd", Typeflag: tar.TypeReg}},
		"dots inside":              {{Name: "a/../../b", Typeflag: tar.TypeReg}},
		"a device":                 {{Name: "a", Typeflag: tar.TypeChar}},
		"a FIFO":                   {{Name: "a", Typeflag: tar.TypeFifo}},
		"a link above the root":    {{Name: "d/l", Typeflag: tar.TypeSymlink, Linkname: "../../x"}},
		"an absolute link":         {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc"}},
		"a file through a link":    {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "d"}, {Name: "l/f", Typeflag: tar.TypeReg}},
		"a file through a file":    {file, {Name: "a/b", Typeflag: tar.TypeReg}},
		"a hard link to nowhere":   {{Name: "h", Typeflag: tar.TypeLink, Linkname: "/etc/shadow"}},
		"more bytes than the most": {{Name: "big", Typeflag: tar.TypeReg, Size: 2000}},
		"more entries":             {file, {Name: "b", Typeflag: tar.TypeReg}, {Name: "c", Typeflag: tar.TypeReg}, {Name: "d", Typeflag: tar.TypeReg}},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := open(t)
			_, err := fill(t, s, archive(t, headers...), pack.TarOptions{Limits: pack.Limits{MaxSize: 1000, MaxEntries: 3}})
			if builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "entry ") {
				t.Errorf("Fill: %v, want an Input error that names the entry", err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*.pack")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".tmp-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestATruncatedArchiveOrPackIsNeverTakenForWhole(t *testing.T) {
	s, dir := open(t)
	whole, err := io.ReadAll(archive(t, tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: 900}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fill(t, s, bytes.NewReader(whole[:700]), pack.TarOptions{}); err == nil {
		t.Error("a truncated archive: no error")
	}
	if _, err := fill(t, s, bytes.NewReader(whole), pack.TarOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".pack", ".idx"} {
		name := filepath.Join(dir, key("a").Hex+suffix)
		if err := os.Truncate(name, 10); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Tree(key("a")); ok || err != nil {
			t.Errorf("Tree with a truncated %s = %t, %v, want absent", suffix, ok, err)
		}
		if _, err := fill(t, s, bytes.NewReader(whole), pack.TarOptions{}); err != nil {
			t.Errorf("Fill again: %v", err)
		}
	}
}
