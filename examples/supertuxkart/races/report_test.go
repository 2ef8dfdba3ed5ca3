package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestASectionIsKeptInPlaceOfTheOlderOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	for _, c := range []struct{ section, want string }{
		{"## a\n\none\n", "## a\n\none\n"},
		{"## b\n\ntwo\n", "## a\n\none\n\n## b\n\ntwo\n"},
		{"## a\n\nthree\n", "## b\n\ntwo\n\n## a\n\nthree\n"},
	} {
		if err := keep(path, c.section); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
			t.Errorf("after %q the document is %q, %v, want %q", c.section, got, err, c.want)
		}
	}
}
