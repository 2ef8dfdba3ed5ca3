package decompress_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pitcrew-dev/pitcrew/builder/source/internal/decompress"
)

// The files in testdata hold the same text, packed by xz in different ways.
const (
	textSize   = 124534
	textSHA256 = "e12558a9d6bcaf60e4f9b88c3d8043fa6863f07cdd277f9d8927c821793a7634"
)

func unpack(t testing.TB, packed []byte) ([]byte, error) {
	t.Helper()
	r, err := decompress.NewReader(decompress.XZ, iotest.HalfReader(bytes.NewReader(packed)))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func packed(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestXZOfEveryShapeIsRead(t *testing.T) {
	for _, name := range []string{"single.xz", "sized.xz", "sha256.xz", "crc32.xz", "none.xz", "streams.xz"} {
		t.Run(name, func(t *testing.T) {
			text, err := unpack(t, packed(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if sumOf(text) != textSHA256 {
				t.Errorf("got %d bytes with another hash, want %d", len(text), textSize)
			}
		})
	}
}

func TestXZThatWouldTakeTooMuchMemoryIsRefused(t *testing.T) {
	for name, want := range map[string]string{"dict.xz": "dictionary", "x86.xz": "filters"} {
		if _, err := unpack(t, packed(t, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want one about %s", name, err, want)
		}
	}
}

// A bit that decoding ignores may be wrong: what counts is that no other text comes out.
func TestNoDamagedXZPassesForWhole(t *testing.T) {
	for _, name := range []string{"single.xz", "sized.xz", "sha256.xz", "streams.xz"} {
		whole := packed(t, name)
		step := max(1, len(whole)/31)
		for i := 0; i < len(whole); i += step {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 0x10
			if text, err := unpack(t, damaged); err == nil && sumOf(text) != textSHA256 {
				t.Fatalf("%s: byte %d of %d was damaged and another text was read", name, i, len(whole))
			}
			if text, err := unpack(t, whole[:i]); err == nil {
				t.Fatalf("%s: %d of %d bytes passed for the whole, %d bytes were read", name, i, len(whole), len(text))
			}
		}
		for tail := range 28 { // index and footer
			damaged := bytes.Clone(whole)
			damaged[len(whole)-1-tail] ^= 1
			if _, err := unpack(t, damaged); err == nil {
				t.Fatalf("%s: byte %d from the end was damaged", name, tail)
			}
		}
	}
}

func TestReadersThatStopEarlyGiveTheirMemoryBack(t *testing.T) {
	for range 20 { // more than there are slots
		d, err := decompress.NewReader(decompress.XZ, bytes.NewReader(packed(t, "sized.xz")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(d, make([]byte, 20<<10)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Read(make([]byte, 1)); err == nil {
			t.Error("a closed reader can be read")
		}
	}
	if free := decompress.FreeSlots(); free == 0 {
		t.Error("no block can be decoded ahead any more")
	}
}

func FuzzXZ(f *testing.F) {
	for _, name := range []string{"single.xz", "sized.xz", "sha256.xz", "streams.xz", "dict.xz"} {
		f.Add(packed(f, name))
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		d, err := decompress.NewReader(decompress.XZ, bytes.NewReader(packed))
		if err != nil {
			return
		}
		defer d.Close()
		_, _ = io.CopyN(io.Discard, d, 4<<20) // small inputs that unpack to much are legal
	})
}
