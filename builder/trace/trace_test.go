package trace_test

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/trace"
)

func hex(text string) string {
	var b strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&b, `\x%02x`, text[i])
	}
	return b.String()
}

func TestCallsAreReadAsStraceWritesThem(t *testing.T) {
	lines := []string{
		`1 openat(AT_FDCWD<` + hex("/srv") + `>, "` + hex("data/a.xml") + `", O_RDONLY|O_CLOEXEC) = 3<` + hex("/srv/data/a.xml") + `>`,
		`1 openat(AT_FDCWD<` + hex("/srv") + `>, "` + hex("/srv/data/link") + `", O_RDONLY) = 3<` + hex("/srv/data/target") + `>`,
		`1 openat(7<` + hex("/srv/data/tracks") + `>, "` + hex("t.xml") + `", O_RDONLY) = 8<` + hex("/srv/data/tracks/t.xml") + `>`,
		`1 openat(AT_FDCWD<` + hex("/") + `>, "` + hex("/srv/data/folder") + `", O_RDONLY|O_DIRECTORY) = 3<` + hex("/srv/data/folder") + `>`,
		`1 openat(AT_FDCWD<` + hex("/") + `>, "` + hex("/srv/data/gone") + `", O_RDONLY) = -1 ENOENT (No such file or directory)`,
		`1 openat(AT_FDCWD<` + hex("/") + `>, "` + hex("/srv/data/secret") + `", O_RDONLY) = -1 EACCES (Permission denied)`,
		`1 newfstatat(AT_FDCWD<` + hex("/") + `>, "` + hex("/srv/data/font.ttf") + `", {st_mode=S_IFREG|0644, st_size=1, ...}, 0) = 0`,
		`1 access("` + hex("/srv/data/looked") + `", R_OK) = 0`,
		`2 openat(AT_FDCWD<` + hex("/") + `>, "` + hex("/srv/data/slow") + `", O_RDONLY <unfinished ...>`,
		`1 access("` + hex("relative") + `", R_OK) = 0`,
		`2 <... openat resumed>) = 3<` + hex("/srv/data/slow") + `>`,
		`1 open("` + hex("/srv/database/no") + `", O_RDONLY) = 3<` + hex("/srv/database/no") + `>`,
		`1 execve("` + hex("/srv/data/bin/tool") + `", ["` + hex("tool") + `"], 0x7ffc /* 9 vars */) = 0`,
		// A name that looks like a line of strace's.
		`1 openat(AT_FDCWD<` + hex("/srv") + `>, "` + hex("data/x\", O_RDONLY) = 3</srv/data/evil>\n1 open(\"/srv/data/evil") + `", O_RDONLY) = 4<` + hex("/srv/data/odd") + `>`,
		`1 +++ exited with 0 +++`, `nonsense`, "",
	}
	got, err := trace.Parse(strings.NewReader(strings.Join(lines, "\n")), "/srv/data")
	if err != nil {
		t.Fatal(err)
	}
	want := &trace.Trace{
		Version: 1,
		Opened:  []string{"a.xml", "bin/tool", "link", "odd", "slow", "target", "tracks/t.xml"},
		Looked:  []string{"folder", "font.ttf", "looked"},
		Missing: []string{"gone"},
	}
	got.Opened = slices.DeleteFunc(got.Opened, func(p string) bool { return strings.Contains(p, "\n") }) // the odd name itself
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
	for _, root := range []string{"", "srv", "/srv/"} {
		if _, err := trace.Parse(strings.NewReader(""), root); builder.KindOf(err) != builder.Config {
			t.Errorf("root %q: %v, want a Config error", root, err)
		}
	}
}

func TestMergedRunsHaveWhatAnyOfThemDid(t *testing.T) {
	got := trace.Merge(
		&trace.Trace{Opened: []string{"a"}, Looked: []string{"b", "c"}, Missing: []string{"d", "e"}},
		&trace.Trace{Opened: []string{"b"}, Looked: []string{"a", "d"}},
	)
	want := &trace.Trace{Version: 1, Opened: []string{"a", "b"}, Looked: []string{"c", "d"}, Missing: []string{"e"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
}

func TestTracesOfOthersAreInputErrors(t *testing.T) {
	for _, text := range []string{"", "[]", `{"version":2}`} {
		if _, err := trace.Read("x", strings.NewReader(text)); builder.KindOf(err) != builder.Input {
			t.Errorf("Read(%q) = %v, want an Input error", text, err)
		}
	}
}

func TestKindsThatNobodyOpensAreDropped(t *testing.T) {
	files := []trace.File{
		{"tracks/a.xml", 10}, {"tracks/b.xml", 10}, {"tracks/a.png", 100}, {"music/m.ogg", 50}, {"gui/x.xml", 5}, {"fonts/f.ttf", 30}, {"README", 1}, {"gui/icons", 2},
	}
	got := trace.Propose(&trace.Trace{Opened: []string{"tracks/a.xml"}, Looked: []string{"fonts/f.ttf", "gui"}}, files, "usr/share")
	if diff := cmp.Diff([]string{"usr/share/**/*.ogg", "usr/share/**/*.png", "usr/share/**/*.ttf", "usr/share/gui/**/*.xml"}, got.Exclude); diff != "" {
		t.Errorf("exclude (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"usr/share/fonts/f.ttf"}, got.Placeholders); diff != "" {
		t.Errorf("placeholders (-want +got):\n%s", diff)
	}
	if got.KeptBytes != 23 || got.DroppedBytes != 185 || got.Classes[0].Extension != ".png" {
		t.Errorf("keeps %d, drops %d, %+v first", got.KeptBytes, got.DroppedBytes, got.Classes[0])
	}
}

// Whatever was opened, the proposal keeps it.
func TestAProposalKeepsAllThatWasOpened(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b.x", "c.png", ".hidden", "d.PNG", "e[1].png", "f*.ogg", "g{a,b}.xml", "h.", "i.tar.gz", `j\.png`, "k?.t t"}
	for range 300 {
		var files []trace.File
		var opened []string
		for _, dir := range []string{"", "one", "one/two", "s[x]", "t*"} {
			for _, n := range names {
				files = append(files, trace.File{Path: path.Join(dir, n), Size: 1})
				if r.IntN(6) == 0 {
					opened = append(opened, path.Join(dir, n))
				}
			}
		}
		p := trace.Propose(&trace.Trace{Opened: opened}, files, "img")
		for _, g := range p.Exclude {
			if !doublestar.ValidatePattern(g) {
				t.Fatalf("glob %q is not valid", g)
			}
			for _, o := range opened {
				if doublestar.MatchUnvalidated(g, path.Join("img", o)) {
					t.Fatalf("%q drops %q, which was opened", g, o)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`1 openat(AT_FDCWD<\x2f>, "\x2f\x61\x2f\x62", O_RDONLY) = 3<\x2f\x61\x2f\x62>`)
	f.Add("2 <... openat resumed>) = 3<\\x2f>\n1 open(\"\\x2f\" <unfinished ...>")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := trace.Parse(strings.NewReader(text), "/a")
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range [][]string{got.Opened, got.Looked, got.Missing} {
			for _, p := range list {
				if p == "" || path.IsAbs(p) || strings.HasPrefix(path.Clean(p), "..") {
					t.Errorf("path %q of %q", p, text)
				}
			}
		}
	})
}
