package split_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
	"github.com/pitcrew-dev/pitcrew/builder/split"
)

func hash(s string) v1.Hash {
	h, _, _ := v1.SHA256(strings.NewReader(s))
	return h
}

// files is a tree of the given path to size, with parents.
func files(sizes map[string]int64) builder.Tree {
	seen := map[string]builder.Entry{}
	for p, n := range sizes {
		seen[p] = builder.Entry{Path: p, Type: builder.Regular, Mode: 0o644, Size: n, SHA256: hash(fmt.Sprint(p, n))}
		for d := path.Dir(p); d != "."; d = path.Dir(d) {
			seen[d] = builder.Entry{Path: d, Type: builder.Dir, Mode: 0o755}
		}
	}
	var t builder.Tree
	for _, e := range seen {
		t.Entries = append(t.Entries, e)
	}
	slices.SortFunc(t.Entries, func(a, b builder.Entry) int { return strings.Compare(a.Path, b.Path) })
	return t
}

// game is shaped like SuperTuxKart's data: a flat folder of textures, folders of tracks, skewed sizes, 700 MB.
func game(r *rand.Rand) map[string]int64 {
	out := map[string]int64{}
	for i := range 700 {
		out[fmt.Sprintf("textures/t%03d.png", i)] = int64(r.ExpFloat64() * 400e3)
	}
	for track := range 60 {
		for i := range 40 {
			ext := []string{"png", "spm", "xml", "ogg"}[r.IntN(4)]
			out[fmt.Sprintf("tracks/track%02d/f%02d.%s", track, i, ext)] = int64(r.ExpFloat64() * 180e3)
		}
	}
	return out
}

// measure says that xml and spm compress and nothing else does.
func measure(_ context.Context, e *builder.Entry, _ int64) (in, out int64, err error) {
	if ext := path.Ext(e.Path); ext == ".xml" || ext == ".spm" {
		return 1000, 300, nil
	}
	return 1000, 990, nil
}

var auto = split.Options{Layers: 32, Codec: split.Auto, Measure: measure}

func plan(t *testing.T, tree builder.Tree, prev *lock.Lock) split.Result {
	t.Helper()
	res, err := split.Plan(t.Context(), tree, prev, auto)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func where(res split.Result) map[string]int {
	out := map[string]int{}
	for i := range res.Layers {
		for _, f := range res.LockFiles(i) {
			out[f.Path] = f.Layer
		}
	}
	return out
}

func TestPlanPutsEveryEntryIntoOneLayerWithItsParents(t *testing.T) {
	tree := files(game(rand.New(rand.NewPCG(1, 1))))
	tree.Entries = append(tree.Entries, builder.Entry{Path: "zempty", Type: builder.Dir, Mode: 0o755},
		builder.Entry{Path: "zlink", Type: builder.Symlink, Link: "x"})
	res := plan(t, tree, nil)
	owners := map[string]int{}
	for i, l := range res.Layers {
		for _, f := range res.LockFiles(i) {
			owners[f.Path]++
		}
		have := map[string]bool{".": true}
		for i, e := range l.Entries {
			if i > 0 && l.Entries[i-1].Path >= e.Path {
				t.Fatalf("layer %d is not sorted at %s", l.ID, e.Path)
			}
			if !have[path.Dir(e.Path)] {
				t.Fatalf("layer %d has %s without its parent", l.ID, e.Path)
			}
			have[e.Path] = true
		}
	}
	for _, e := range tree.Entries {
		want := 1
		if e.Type == builder.Dir && e.Path != "zempty" {
			want = 0
		}
		if owners[e.Path] != want {
			t.Errorf("%s is owned by %d layers, want %d", e.Path, owners[e.Path], want)
		}
	}
}

func TestALayerIsSortedWhereFolderNamesArePrefixes(t *testing.T) {
	res, err := split.Plan(t.Context(), files(map[string]int64{"a-b": 1, "a/x": 1, "a.c/d/e": 1, "a.c/d-e": 1}), nil, split.Options{Codec: "none"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range res.Layers[0].Entries {
		got = append(got, e.Path)
	}
	want := []string{"a", "a-b", "a.c", "a.c/d", "a.c/d-e", "a.c/d/e", "a/x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestPlanKeepsStoredAndCompressedApart(t *testing.T) {
	res := plan(t, files(game(rand.New(rand.NewPCG(2, 2)))), nil)
	for _, l := range res.Layers {
		for _, e := range l.Entries {
			ext := path.Ext(e.Path)
			if e.Type == builder.Regular && (ext == ".xml" || ext == ".spm") != (l.Codec == "zstd:3") {
				t.Errorf("%s lies in a %s layer", e.Path, l.Codec)
			}
		}
	}
	if n := len(res.Layers); n < 20 || n > 64 {
		t.Errorf("%d layers, want about 32", n)
	}
}

func TestPlanIsDeterministic(t *testing.T) {
	sizes := game(rand.New(rand.NewPCG(3, 3)))
	want := where(plan(t, files(sizes), nil))
	for range 3 {
		if diff := cmp.Diff(want, where(plan(t, files(sizes), nil))); diff != "" {
			t.Fatalf("the plan differs:\n%s", diff)
		}
	}
}

// toLock is what the build writes after making the layers.
func toLock(res split.Result) *lock.Lock {
	l := &lock.Lock{Classes: res.Classes}
	for i, y := range res.Layers {
		l.Layers = append(l.Layers, lock.Layer{ID: y.ID, Kind: y.Kind, Codec: y.Codec})
		l.Files = append(l.Files, res.LockFiles(i)...)
		for _, p := range y.Gone {
			l.Gone = append(l.Gone, lock.Gone{Layer: y.ID, Path: p})
		}
	}
	l.Sort()
	return l
}

func TestALockKeepsThePlan(t *testing.T) {
	sizes := game(rand.New(rand.NewPCG(4, 4)))
	first := plan(t, files(sizes), nil)
	again := plan(t, files(sizes), toLock(first))
	if diff := cmp.Diff(where(first), where(again)); diff != "" {
		t.Errorf("same tree, with the lock of the first plan:\n%s", diff)
	}
	for _, l := range again.Layers {
		if l.Known == nil {
			t.Errorf("layer %d is made anew", l.ID)
		}
	}
}

// made are the layers that have to be made.
func made(res split.Result) []split.Layer {
	return slices.DeleteFunc(slices.Clone(res.Layers), func(l split.Layer) bool { return l.Known != nil })
}

func bytesOf(layers []split.Layer) (n int64) {
	for _, l := range layers {
		for _, e := range l.Entries {
			n += e.Size
		}
	}
	return n
}

func TestAnEditCostsItsOwnBytes(t *testing.T) {
	sizes := game(rand.New(rand.NewPCG(5, 5)))
	prev := toLock(plan(t, files(sizes), nil))
	paths := slices.Sorted(maps.Keys(sizes))
	sizes[paths[3]] += 10
	delete(sizes, paths[9])
	sizes["tracks/new/a.png"] = 500
	res := plan(t, files(sizes), prev)
	anew := made(res)
	if len(anew) != 1 || anew[0].Kind != "delta" || bytesOf(anew) != sizes[paths[3]]+500 {
		t.Fatalf("made %d layers with %d bytes, want one delta with %d", len(anew), bytesOf(anew), sizes[paths[3]]+500)
	}
	if diff := cmp.Diff([]string{paths[9]}, anew[0].Gone); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	if last := res.Layers[len(res.Layers)-1]; last.ID != anew[0].ID {
		t.Errorf("the delta is not on top: layer %d is", last.ID)
	}
}

func TestWithoutALockANewTrackMovesLittle(t *testing.T) {
	sizes := game(rand.New(rand.NewPCG(6, 6)))
	before := plan(t, files(sizes), nil)
	for i := range 40 {
		sizes[fmt.Sprintf("tracks/track30b/f%02d.png", i)] = 140e3
	}
	tree := files(sizes)
	print := func(l split.Layer) string {
		var b strings.Builder
		for _, e := range l.Entries {
			fmt.Fprintln(&b, e.Path, e.SHA256)
		}
		return b.String()
	}
	have := map[string]bool{}
	for _, l := range before.Layers {
		have[print(l)] = true
	}
	changed := slices.DeleteFunc(plan(t, tree, nil).Layers, func(l split.Layer) bool { return have[print(l)] })
	if got, total := bytesOf(changed), tree.Size(); got > total*20/100 {
		t.Errorf("a new track repacks %d bytes of %d, want at most 20 %%", got, total)
	}
}

func TestHardLinksLieWithTheirTargets(t *testing.T) {
	tree := files(map[string]int64{"a.png": 40e6, "b.png": 40e6, "c.png": 40e6})
	tree.Entries = append(tree.Entries, builder.Entry{Path: "d.png", Type: builder.Hardlink, Link: "a.png"})
	at := where(plan(t, tree, nil))
	if at["d.png"] != at["a.png"] {
		t.Errorf("the link lies in layer %d, its target in %d", at["d.png"], at["a.png"])
	}
}

func TestPlanRefusesAFileThatNoRegistryTakes(t *testing.T) {
	_, err := split.Plan(t.Context(), files(map[string]int64{"huge": split.MaxFileSize + 1}), nil, split.Options{Codec: "none"})
	if builder.KindOf(err) != builder.Policy {
		t.Errorf("Plan: %v, want a Policy error", err)
	}
}

func TestMaxLayerSizeHolds(t *testing.T) {
	o := split.Options{Layers: 1, Codec: "none", MaxLayerSize: 50}
	res, err := split.Plan(t.Context(), files(map[string]int64{"a": 30, "b": 30, "c": 70, "d": 10}), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"a": 0, "b": 1, "c": 2, "d": 3}, where(res)); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
}
