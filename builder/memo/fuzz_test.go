package memo_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/pitcrew-dev/pitcrew/builder/memo"
)

// FuzzMemo puts arbitrary payloads, framed with a right checksum, in the place of both kinds of file: opening must
// neither panic nor yield something that cannot be saved and read again.
func FuzzMemo(f *testing.F) {
	cache := f.TempDir()
	m, _ := memo.Open(cache, "/assets")
	m.Remember("f", settled(), hashOf(1))
	m.Remember("g", settled(), hashOf(2))
	_ = m.Save()
	files, _ := filepath.Glob(filepath.Join(cache, "files-*"))
	raw, err := os.ReadFile(files[0])
	if err != nil {
		f.Fatal(err)
	}
	header := len("pitcrew memo\n") + 2
	f.Add(raw[header:len(raw)-sha256.Size], true)
	f.Add(raw, false)
	f.Add([]byte("sha256:00 {}\nsha256:01 {\"diffID\":1}\n"), true)

	f.Fuzz(func(t *testing.T, payload []byte, framed bool) {
		cache := t.TempDir()
		name := filepath.Join(cache, filepath.Base(files[0]))
		write(t, name, frame('F', payload, framed))
		write(t, filepath.Join(cache, "layers.memo"), frame('L', payload, framed))

		m, _ := memo.Open(cache, "/assets")
		l, _ := memo.OpenLayers(cache)
		m.Remember("f", settled(), hashOf(3))
		l.Put(hashOf(4), layer(5))
		if err := m.Save(); err != nil {
			t.Fatalf("Save: %v", err)
		}
		if err := l.Save(); err != nil {
			t.Fatalf("Save layers: %v", err)
		}
		if got, ok := open(t, cache, "/assets").Lookup("f", settled()); !ok || got != hashOf(3) {
			t.Errorf("Lookup after Save = %v, %v", got, ok)
		}
		if got, ok := openLayers(t, cache).Get(hashOf(4)); !ok || got.DiffID != layer(5).DiffID {
			t.Errorf("Get after Save = %v, %v", got, ok)
		}
	})
}

func frame(kind byte, payload []byte, framed bool) []byte {
	if !framed {
		return payload
	}
	raw := append([]byte("pitcrew memo\n"), kind, 1)
	raw = append(raw, payload...)
	sum := sha256.Sum256(raw)
	return append(raw, sum[:]...)
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
