package layer_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
)

type content string

func (c content) Open() (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(c))), nil
}

func dir(p string) *builder.Entry {
	return &builder.Entry{Path: p, Type: builder.Dir, Mode: builder.ModeDir}
}

func file(p, body string) *builder.Entry {
	return &builder.Entry{Path: p, Type: builder.Regular, Mode: builder.ModeFile, Size: int64(len(body)), Content: content(body)}
}

func sample() []*builder.Entry {
	long := "d/" + strings.Repeat("x", 200)
	return []*builder.Entry{
		dir("d"),
		file("d/a file.png", strings.Repeat("abc", 1000)),
		{Path: "d/link", Type: builder.Symlink, Mode: builder.ModeSymlink, Link: "../elsewhere"},
		{Path: "d/same", Type: builder.Hardlink, Mode: builder.ModeFile, Link: "d/a file.png"},
		file(long, "long name"),
		file("d/\xff", "not UTF-8"),
		{Path: "z", Type: builder.Dir, Mode: 0o1777, UID: 65532, GID: 65532},
	}
}

func make1(t *testing.T, entries []*builder.Entry, c layer.Codec) *layer.Layer {
	t.Helper()
	slices.SortFunc(entries, func(a, b *builder.Entry) int { return strings.Compare(a.Path, b.Path) })
	l, err := layer.New(entries, c, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The golden digests: they change only if a released builder may no longer reuse the layers of the one before.
func TestLayerBytesStayWhatTheyAre(t *testing.T) {
	for codec, want := range map[layer.Codec]string{
		layer.None: "15dc40fe83030419",
		layer.Gzip: "c5ce3cd9c04eaf17",
		layer.Zstd: "8946db0a30e01703",
	} {
		d, err := make1(t, sample(), codec).WriteTo(t.Context(), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Digest.Hex[:16]; got != want {
			t.Errorf("%s layer = %s, want %s", codec, got, want)
		}
	}
}

func TestLayerReadsBackAsItsEntries(t *testing.T) {
	for _, codec := range []layer.Codec{layer.None, layer.Gzip, layer.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			entries := sample()
			l := make1(t, entries, codec)
			var blob bytes.Buffer
			d, err := l.WriteTo(t.Context(), &blob)
			if err != nil {
				t.Fatal(err)
			}
			if got, _, _ := v1.SHA256(bytes.NewReader(blob.Bytes())); got != d.Digest || int64(blob.Len()) != d.Size {
				t.Errorf("descriptor says %v %d, the bytes are %v %d", d.Digest, d.Size, got, blob.Len())
			}
			plain, err := layer.Decode(d.MediaType, &blob)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(plain)
			if err != nil {
				t.Fatal(err)
			}
			diffID, _ := l.DiffID()
			if got, _, _ := v1.SHA256(bytes.NewReader(raw)); got != diffID {
				t.Errorf("diff ID = %v, the tar stream has %v", diffID, got)
			}
			if got := int64(len(raw)); got != l.TarSize() {
				t.Errorf("TarSize = %d, the stream has %d bytes", l.TarSize(), got)
			}
			compare(t, raw, entries)
		})
	}
}

func compare(t *testing.T, raw []byte, entries []*builder.Entry) {
	t.Helper()
	tr := tar.NewReader(bytes.NewReader(raw))
	for _, e := range entries {
		h, err := tr.Next()
		if err != nil {
			t.Fatalf("%q is missing: %v", e.Path, err)
		}
		if got := strings.TrimSuffix(h.Name, "/"); got != e.Path || h.Linkname != e.Link || h.Size != e.Size || h.Mode != int64(e.Mode) || h.Uid != e.UID {
			t.Errorf("entry = %q %q %d %o %d, want %q %q %d %o %d", got, h.Linkname, h.Size, h.Mode, h.Uid, e.Path, e.Link, e.Size, e.Mode, e.UID)
		}
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uname != "" || !h.AccessTime.IsZero() {
			t.Errorf("%q carries the host's facts: %v %q %v", e.Path, h.ModTime, h.Uname, h.AccessTime)
		}
		if h.Format == tar.FormatGNU {
			t.Errorf("%q is in GNU format", e.Path)
		}
	}
	if _, err := tr.Next(); err != io.EOF {
		t.Errorf("after the last entry: %v, want EOF", err)
	}
}

func TestWriteToLearnsDigestsInTheSamePass(t *testing.T) {
	entries := sample()
	l := make1(t, entries, layer.None)
	if _, err := l.Key(); err == nil {
		t.Error("Key before anything was hashed: no error")
	}
	if _, err := l.WriteTo(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	after, err := l.Key()
	if err != nil {
		t.Fatal(err)
	}
	again := sample()
	l2 := make1(t, again, layer.None)
	files := func(yield func(*builder.Entry) bool) {
		for _, e := range again {
			if e.Type == builder.Regular && !yield(e) {
				return
			}
		}
	}
	if err := layer.Hash(t.Context(), files, 2); err != nil {
		t.Fatal(err)
	}
	if before, err := l2.Key(); err != nil || before != after {
		t.Errorf("key by hashing = %v (%v), by packing = %v", before, err, after)
	}
	if other, _ := make1(t, again, layer.Zstd).Key(); other == after {
		t.Error("the key does not depend on the codec")
	}
}

// changing yields other bytes at each opening.
type changing struct{ bodies []string }

func (c *changing) Open() (io.ReadCloser, error) {
	body := c.bodies[0]
	if len(c.bodies) > 1 {
		c.bodies = c.bodies[1:]
	}
	return io.NopCloser(strings.NewReader(body)), nil
}

func TestWriteToFailsWhenAFileChanged(t *testing.T) {
	for name, second := range map[string]string{"same size": "bbbb", "shorter": "bbb", "longer": "bbbbb"} {
		t.Run(name, func(t *testing.T) {
			l := make1(t, []*builder.Entry{{Path: "f", Type: builder.Regular, Size: 4, Content: &changing{bodies: []string{"aaaa", second}}}}, layer.None)
			if _, err := l.WriteTo(t.Context(), io.Discard); err != nil {
				t.Fatal(err)
			}
			_, err := l.WriteTo(t.Context(), io.Discard)
			if !errors.Is(err, builder.ErrChanged) || builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "f") {
				t.Errorf("WriteTo of a changed file: %v, want an Input error that matches ErrChanged and names it", err)
			}
		})
	}
}

func TestNewRefusesWhatAnEngineWouldMisread(t *testing.T) {
	for name, entries := range map[string][]*builder.Entry{
		"a whiteout name":  {file(".wh.gone", "")},
		"unsorted":         {file("b", ""), file("a", "")},
		"twice":            {file("a", ""), file("a", "")},
		"a missing parent": {file("a/b", "")},
	} {
		if _, err := layer.New(entries, layer.None, time.Time{}); err == nil {
			t.Errorf("New with %s: no error", name)
		}
	}
}

func TestWriteToEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := make1(t, sample(), layer.Zstd).WriteTo(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("WriteTo after cancel: %v, want context.Canceled", err)
	}
}

func TestTarSizeOfAFileOver8GiBNeedsNoReading(t *testing.T) {
	l, err := layer.New([]*builder.Entry{{Path: "big", Type: builder.Regular, Size: 9 << 30}}, layer.None, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if got, least := l.TarSize(), int64(9<<30); got <= least || got > least+8192 {
		t.Errorf("TarSize = %d, want a little over %d", got, least)
	}
}

func TestParseCodec(t *testing.T) {
	for in, want := range map[string]string{"none": "none", "gzip": "gzip:6", "zstd": "zstd:3", "zstd:6": "zstd:6", "gzip:9": "gzip:9"} {
		c, err := layer.ParseCodec(in)
		if err != nil || c.String() != want {
			t.Errorf("ParseCodec(%q) = %v, %v, want %s", in, c, err, want)
		}
	}
	for _, in := range []string{"", "lz4", "zstd:0", "zstd:x", "gzip:10", "none:1"} {
		if _, err := layer.ParseCodec(in); builder.KindOf(err) != builder.Config {
			t.Errorf("ParseCodec(%q): %v, want a Config error", in, err)
		}
	}
}

func TestTheCodecIDNamesTheVersionInUse(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(mod), "github.com/klauspost/compress ")
	version := strings.Fields(rest)[0]
	if id := layer.Zstd.ID(); !strings.Contains(id, "@"+version+";") {
		t.Errorf("codec ID %q does not name klauspost/compress %s of go.mod", id, version)
	}
}

func BenchmarkWriteTo(b *testing.B) {
	body := strings.Repeat("0123456789abcdef", 1<<16)
	for _, codec := range []layer.Codec{layer.None, layer.Zstd, layer.Gzip} {
		b.Run(codec.String(), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				l, err := layer.New([]*builder.Entry{file("f", body)}, codec, time.Time{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := l.WriteTo(b.Context(), io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// noise does not compress.
func noise(n int) string {
	raw := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(raw)
	return string(raw)
}

func TestAZstdLayerStoresWhatDoesNotCompress(t *testing.T) {
	text := strings.Repeat("track ", 100_000)
	entries := func() []*builder.Entry {
		return []*builder.Entry{dir("d"), file("d/a.png", noise(1_000_000)), file("d/b.xml", text), file("d/c.png", noise(300_000)), file("d/d.txt", "end")}
	}
	l := make1(t, entries(), layer.Zstd)
	var blob bytes.Buffer
	d, err := l.WriteTo(t.Context(), &blob)
	if err != nil {
		t.Fatal(err)
	}
	if stored := bytes.Count(blob.Bytes(), []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3}); stored < 2 {
		t.Errorf("%d stored frames, want one for each run of noise", stored)
	}
	if d.Size > 1_300_000+60_000 {
		t.Errorf("the layer has %d bytes: the text was not compressed", d.Size)
	}
	for name, decode := range map[string]func(io.Reader) (io.Reader, error){
		"our decoder": func(r io.Reader) (io.Reader, error) { return layer.Decode(d.MediaType, r) },
		"zstd's own": func(r io.Reader) (io.Reader, error) {
			if _, err := exec.LookPath("zstd"); err != nil {
				t.Skip("needs the program zstd")
			}
			cmd := exec.CommandContext(t.Context(), "zstd", "-dc")
			cmd.Stdin = r
			out, err := cmd.Output()
			return bytes.NewReader(out), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := decode(bytes.NewReader(blob.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, raw, entries())
		})
	}
}
