package lock_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

func hash(s string) v1.Hash {
	h, _, _ := v1.SHA256(strings.NewReader(s))
	return h
}

func sample() *lock.Lock {
	return &lock.Lock{
		Classes: []lock.Class{{Ext: ".png", Store: true, Ratio: 991}, {Ext: "-", Ratio: 5}},
		Images:  []lock.Image{{Name: "debian:bookworm-slim", Digest: hash("i")}},
		Layers: []lock.Layer{
			{ID: 0, Kind: "base", Codec: "none", Key: hash("k"), Digest: hash("d"), DiffID: hash("d"), Size: 10},
			{ID: 7, Kind: "delta", Codec: "zstd:3", Key: hash("k2"), Digest: hash("d2"), DiffID: hash("f2"), Size: 20},
		},
		Files: []lock.File{
			{Layer: 7, Type: 'f', Mode: 0o644, Size: 3, SHA256: hash("x").Hex, Path: "a b/\nnew\xff"},
			{Layer: 0, Type: 'd', Mode: 0o755, UID: 1000, GID: 7, SHA256: "-", Path: "tracks"},
			{Layer: 0, Type: 'l', Mode: 0o777, SHA256: "-", Path: "tracks/with space"},
		},
		Gone: []lock.Gone{{Layer: 7, Path: "old"}},
	}
}

func text(t *testing.T, l *lock.Lock) string {
	t.Helper()
	var b bytes.Buffer
	if n, err := l.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo = %d, %v, want %d bytes", n, err, b.Len())
	}
	return b.String()
}

func TestParseUndoesWriteTo(t *testing.T) {
	got, err := lock.Parse("assets.lock", strings.NewReader(text(t, sample())))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("Parse(WriteTo) (-want +got):\n%s", diff)
	}
}

func TestParseNamesEveryFault(t *testing.T) {
	const head = "# pitcrew assets.lock v1\n"
	for name, c := range map[string]struct{ in, want string }{
		"empty":             {"", "is empty"},
		"another version":   {"# pitcrew assets.lock v2\n", "l:1: not an assets.lock of a version"},
		"a merge conflict":  {head + "<<<<<<< HEAD\nx\n", "l:2: a merge conflict"},
		"two faults":        {head + "x\ny\n", "l:3: unknown line"},
		"an unknown layer":  {head + "d 3 755 0 - a\n", "lies in layer 3"},
		"a path that leads": {head + "gone 0 ../etc/passwd\n", "not a clean relative path"},
		"a lost gone":       {head + "gone 3 a\n", "gone in layer 3"},
		"an owner of root":  {head + "d 3 755:0:0 0 - a\n", "owner 0:0"},
		"a bad digest":      {head + "f 0 644 1 zz a\n", "is not a sha256"},
		"a negative size":   {head + "f 0 644 -1 " + strings.Repeat("0", 64) + " a\n", "is not a number"},
		"a huge line":       {head + strings.Repeat("x", 70<<10), "token too long"},
		"a nan ratio":       {head + "class .x zstd NaN\n", "is not a number from"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := lock.Parse("l", strings.NewReader(c.in))
			if builder.KindOf(err) != builder.Config || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse: %v, want a Config error with %q", err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	var b bytes.Buffer
	if _, err := sample().WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.String())
	f.Add("# pitcrew assets.lock v1\nd 0 755 0 - \"a\\x00\"\n")
	f.Fuzz(func(t *testing.T, in string) {
		l, err := lock.Parse("l", strings.NewReader(in))
		if err != nil {
			return
		}
		once := text(t, l)
		again, err := lock.Parse("l", strings.NewReader(once))
		if err != nil {
			t.Fatalf("a written lock does not parse: %v\n%s", err, once)
		}
		if text(t, again) != once {
			t.Errorf("writing is not canonical:\n%s\n%s", once, text(t, again))
		}
	})
}
