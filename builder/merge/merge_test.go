package merge_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/merge"
)

func tree(entries ...builder.Entry) builder.Tree { return builder.Tree{Entries: entries} }

func file(p string) builder.Entry {
	h, _, _ := v1.SHA256(strings.NewReader(p))
	return builder.Entry{Path: p, Type: builder.Regular, Mode: builder.ModeFile, Size: 1, SHA256: h}
}

func dir(p string) builder.Entry {
	return builder.Entry{Path: p, Type: builder.Dir, Mode: builder.ModeDir}
}

func link(p, to string) builder.Entry {
	return builder.Entry{Path: p, Type: builder.Symlink, Mode: builder.ModeSymlink, Link: to}
}

func paths(t builder.Tree) []string {
	var out []string
	for _, e := range t.Entries {
		out = append(out, e.Path)
	}
	return out
}

func TestBuildPlacesSelectsAndSorts(t *testing.T) {
	uid := 7
	got, err := merge.Build([]merge.Part{
		{Tree: tree(dir("t"), file("t/b.png"), file("t/a.psd"), file("x")), Exclude: []string{"**/*.psd"}, Destination: "/usr/share/g", Origin: "one"},
		{Tree: tree(dir("etc"), file("etc/c")), Include: []string{"etc/*"}, UID: &uid, Origin: "two"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"etc", "etc/c", "usr", "usr/share", "usr/share/g", "usr/share/g/t", "usr/share/g/t/b.png", "usr/share/g/x"}
	if diff := cmp.Diff(want, paths(got)); diff != "" {
		t.Errorf("Build paths (-want +got):\n%s", diff)
	}
	if got.Entries[1].UID != 7 || got.Entries[0].UID != 0 {
		t.Errorf("owners = %d and %d, want 7 for the part's file and 0 for the added parent", got.Entries[1].UID, got.Entries[0].UID)
	}
}

func TestBuildReportsEveryCollisionAtOnce(t *testing.T) {
	_, err := merge.Build([]merge.Part{
		{Tree: tree(file("a"), file("b"), file("c")), Origin: "one"},
		{Tree: tree(file("a"), dir("b"), file("c/d")), Origin: "two"},
		{Tree: tree(link("out", "../../etc")), Origin: "three"},
	})
	if builder.KindOf(err) != builder.Input {
		t.Fatalf("Build: %v, want an Input error", err)
	}
	for _, want := range []string{"a: written by one and by two", "b: written by", "c: two makes it a folder, one", "out: symlink to"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not contain %q", err, want)
		}
	}
}

func TestBuildKeepsALinkThatStaysInside(t *testing.T) {
	if _, err := merge.Build([]merge.Part{{Tree: tree(dir("a"), link("a/l", "../../x")), Destination: "/usr"}}); err != nil {
		t.Errorf("a link that ends at the image's root: %v", err)
	}
}

func TestAHardLinkWithoutItsTargetBecomesAFile(t *testing.T) {
	hard := builder.Entry{Path: "b", Type: builder.Hardlink, Mode: builder.ModeFile, Link: "a"}
	got, err := merge.Build([]merge.Part{{Tree: tree(file("a"), hard), Exclude: []string{"a"}, Destination: "d"}})
	if err != nil {
		t.Fatal(err)
	}
	if e := got.Entries[1]; e.Type != builder.Regular || e.SHA256 != file("a").SHA256 || e.Size != 1 {
		t.Errorf("entry = %+v, want a regular file with the target's content", e)
	}
	kept, err := merge.Build([]merge.Part{{Tree: tree(file("a"), hard), Destination: "d"}})
	if err != nil {
		t.Fatal(err)
	}
	if e := kept.Entries[2]; e.Type != builder.Hardlink || e.Link != "d/a" {
		t.Errorf("entry = %+v, want a hard link to d/a", e)
	}
}

func TestCollisionsBetweenPhases(t *testing.T) {
	lower := []merge.PhaseTree{{Phase: builder.Base, Tree: tree(dir("etc"), file("etc/passwd"))}}
	upper := merge.PhaseTree{Phase: builder.Server, Tree: tree(dir("etc"), file("etc/passwd"))}
	err := merge.Collisions(lower, upper, nil)
	if builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "etc/passwd: written by phase base and by phase server") {
		t.Errorf("Collisions: %v", err)
	}
	if err := merge.Collisions(lower, upper, []string{"etc/*"}); err != nil {
		t.Errorf("Collisions with replaces: %v, want none", err)
	}
	tmp := dir("etc")
	tmp.Mode = 0o1777
	if err := merge.Collisions(lower, merge.PhaseTree{Phase: builder.Code, Tree: tree(tmp)}, nil); err == nil {
		t.Error("a folder with another mode: no error")
	}
}

func TestDigestSeesEveryField(t *testing.T) {
	base := tree(dir("d"), file("d/f"), link("l", "d"))
	want, err := merge.Digest(base)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*builder.Entry){
		"path": func(e *builder.Entry) { e.Path = "d/g" }, "mode": func(e *builder.Entry) { e.Mode = 0o755 },
		"owner": func(e *builder.Entry) { e.UID = 1 }, "content": func(e *builder.Entry) { e.SHA256 = file("x").SHA256 },
	} {
		other := tree(dir("d"), file("d/f"), link("l", "d"))
		change(&other.Entries[1])
		if got, err := merge.Digest(other); err != nil || got == want {
			t.Errorf("another %s gives the same digest (%v)", name, err)
		}
	}
	if _, err := merge.Digest(tree(builder.Entry{Path: "f", Type: builder.Regular})); err == nil {
		t.Error("Digest of a file that was not hashed: no error")
	}
}
