package layer_test

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/builder/layer"
)

func TestCheckAcceptsWhatWriteToMakes(t *testing.T) {
	var b bytes.Buffer
	if _, err := make1(t, sample(), layer.None).WriteTo(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := layer.Check(&b, time.Unix(0, 0), false, func(s string) { t.Error(s) }, nil); err != nil {
		t.Error(err)
	}
}

func TestCheckNamesEveryDeparture(t *testing.T) {
	epoch := time.Unix(0, 0)
	for want, headers := range map[string][]tar.Header{
		"does not sort behind":       {{Name: "b", ModTime: epoch}, {Name: "a", ModTime: epoch}},
		"is not a clean relative":    {{Name: "../a", ModTime: epoch}},
		"has no parent directory":    {{Name: "a/b", ModTime: epoch}},
		"has type":                   {{Name: "a", Typeflag: tar.TypeFifo, ModTime: epoch}},
		"was modified at":            {{Name: "a", ModTime: time.Unix(7, 0)}},
		"deletes, in a layer":        {{Name: ".wh.a", ModTime: epoch}},
		"names its owner":            {{Name: "a", Uname: "artist", ModTime: epoch}},
		"is in GNU format":           {{Name: strings.Repeat("x", 300), Format: tar.FormatGNU, ModTime: epoch}},
		`has the PAX record "mtime"`: {{Name: "a", Format: tar.FormatPAX, ModTime: time.Unix(0, 1)}},
	} {
		t.Run(want, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for _, h := range headers {
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			var faults []string
			if err := layer.Check(&b, epoch, false, func(s string) { faults = append(faults, s) }, nil); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(faults, "\n"); !strings.Contains(got, want) {
				t.Errorf("faults = %q, want one with %q", got, want)
			}
		})
	}
}

func TestWithoutAGivenTimeALayerStillHasOnlyOne(t *testing.T) {
	for want, times := range map[string][]int64{"": {7, 7}, "was modified at": {7, 8}} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i, at := range times {
			if err := w.WriteHeader(&tar.Header{Name: string(rune('a' + i)), ModTime: time.Unix(at, 0)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := layer.Check(&b, time.Time{}, false, func(s string) { got += s }, nil); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("times %v: %q, want %q", times, got, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	l, err := layer.New(sample()[:1], layer.None, time.Time{})
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := l.WriteTo(f.Context(), &b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:700])
	f.Fuzz(func(_ *testing.T, in []byte) {
		_ = layer.Check(bytes.NewReader(in), time.Time{}, len(in)%2 == 0, func(string) {}, nil) // it may say what it likes, but not panic
	})
}
