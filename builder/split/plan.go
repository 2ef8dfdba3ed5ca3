package split

import (
	"cmp"
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

// Defaults and bounds, in bytes where they are sizes.
const (
	DefaultMaxLayerSize = 512 << 20
	// MaxFileSize is what one file may have: registries refuse layers above it (Amazon ECR: 10 GiB).
	MaxFileSize = 10 << 30
	// minTarget keeps layers from becoming so small that they only cost round trips.
	minTarget = 1 << 20
)

// Auto is the codec name that lets files decide: see [Options].
const Auto = "auto"

// Options say how to cut.
type Options struct {
	// Layers is how many layers to aim for, at least 1. 1 means one layer for each codec.
	Layers int
	// MaxLayerSize bounds a layer's file bytes, unless a single file is larger; 0 means the default.
	MaxLayerSize int64
	// Codec is what every layer uses, or Auto: files of a class that does not compress are stored ("none"), the
	// rest is "zstd:3".
	Codec string
	// MaxDeltas is how many delta layers there may be before two of them are merged; 0 means DefaultMaxDeltas.
	MaxDeltas int
	// Others are the paths that other phases put into the image, and whether each is a folder. Layers of the assets never
	// hide or delete them. Without it only the assets' own image is right.
	Others map[string]bool
	// Lost are the IDs of the lock's layers that are in no repository any more. They are made anew, as far as they live.
	Lost map[int]bool
	// Whole is the tree that the planned one is a part of, if it is one: classes and the size of layers are then those of the
	// whole, so that other parts of it are cut into the same layers where they coincide.
	Whole *builder.Tree
	// Group names what an entry has in common with others; layers hold entries of one group only, and groups lie above each
	// other in the order of their names. nil: all are of one group.
	Group func(e *builder.Entry) string
	// Measure compresses a sample of a file's first bytes, at most limit; needed for Auto.
	Measure func(ctx context.Context, e *builder.Entry, limit int64) (in, out int64, err error)
}

// Layer is one layer of the plan.
type Layer struct {
	ID    int
	Kind  string // base or delta
	Codec string
	// Known is what the lock says of a layer that stays as it is; nil for a layer to be made.
	Known *lock.Layer
	// Entries are what the layer is made of, sorted; the pointers are into the tree. A base layer has all folders above
	// its files too. Entries is nil if the layer holds what is no longer in the tree: such a layer is always Known.
	Entries []*builder.Entry
	// Gone are the paths that a delta layer deletes, sorted.
	Gone []string
	// Files are the lines in the lock of a layer that was planned from one; see [Result.LockFiles].
	Files []lock.File
}

// Result is a plan.
type Result struct {
	// Layers are in image order, bottom first.
	Layers []Layer
	// Classes is the policy that Auto used.
	Classes []lock.Class

	planner *planner
}

// Plan assigns every entry of the tree to a layer, keeping to prev where it is given. It fails with a Policy error
// if a file is larger than any registry takes.
func Plan(ctx context.Context, tree builder.Tree, prev *lock.Lock, o Options) (Result, error) {
	o.Layers = max(1, o.Layers)
	o.MaxLayerSize = cmp.Or(o.MaxLayerSize, DefaultMaxLayerSize)
	o.MaxDeltas = cmp.Or(o.MaxDeltas, DefaultMaxDeltas)
	for e := range tree.Files() {
		if e.Size > MaxFileSize {
			return Result{}, builder.Errorf(builder.Policy, "split the file, or exclude it",
				"%s has %d bytes, registries take layers of at most %d", e.Path, e.Size, int64(MaxFileSize))
		}
	}
	whole := tree
	if o.Whole != nil {
		whole = *o.Whole
	}
	if o.Group == nil {
		o.Group = func(*builder.Entry) string { return "" }
	}
	codecs, classes, err := chooseCodecs(ctx, whole, prev, o)
	if err != nil {
		return Result{}, err
	}
	p := &planner{tree: tree, o: o, codecs: codecs, layerOf: map[string]int{}, firsts: map[string]int{}, layers: map[int]*Layer{}}
	p.target = target(whole.Size(), o.Layers)
	if p.continues(prev) {
		p.grow(prev)
		return Result{p.grown, classes, p}, nil
	}
	p.cut()
	p.placeOthers()
	return Result{p.collect(), classes, p}, nil
}

// continues reports whether the lock's layers can go on: there are some, of the codecs that are wanted now.
func (p *planner) continues(prev *lock.Lock) bool {
	if prev == nil || len(prev.Files) == 0 || len(prev.Layers) == 0 {
		return false
	}
	for _, l := range prev.Layers {
		if l.Codec != p.o.Codec && !(p.o.Codec == Auto && (l.Codec == stored || l.Codec == compressed)) {
			return false
		}
	}
	return prev.Layers[0].Kind == base
}

type planner struct {
	tree    builder.Tree
	o       Options
	codecs  map[string]string // by extension
	target  int64
	layerOf map[string]int // by path
	firsts  map[string]int // by group, its first layer
	layers  map[int]*Layer
	grown   []Layer
	targets map[string]string // of hard links, with what they hold
}

func (p *planner) codec(e *builder.Entry) string {
	if p.o.Codec != Auto {
		return p.o.Codec
	}
	return p.codecs[class(e)]
}

func (p *planner) place(e *builder.Entry, id int, codec string) {
	if p.layers[id] == nil {
		p.layers[id] = &Layer{ID: id, Kind: base, Codec: codec}
	}
	p.layerOf[e.Path] = id
}

func (p *planner) nextID() int {
	next := 0
	for id := range p.layers {
		next = max(next, id+1)
	}
	return next
}

// placeOthers puts hard links with their targets, and symlinks and empty folders beside the file that precedes them.
func (p *planner) placeOthers() {
	if len(p.layers) == 0 && len(p.tree.Entries) > 0 {
		codec := p.o.Codec
		if codec == Auto {
			codec = compressed
		}
		p.layers[0] = &Layer{Kind: base, Codec: codec}
	}
	first := slices.Min(append(slices.Collect(maps.Keys(p.layers)), p.nextID()))
	nearest := map[string]int{} // by group
	full := p.foldersWithContent()
	for i := range p.tree.Entries {
		e := &p.tree.Entries[i]
		group := p.o.Group(e)
		near, ok := nearest[group]
		if !ok {
			near = p.firstOf(group, first)
		}
		switch {
		case e.Type == builder.Regular:
			nearest[group] = p.layerOf[e.Path]
		case e.Type == builder.Dir && full[e.Path]:
		case e.Type == builder.Hardlink:
			p.place(e, p.layerOf[e.Link], "")
		default:
			p.place(e, near, "")
		}
	}
}

// firstOf is the group's first layer, or, for a group without files, another one.
func (p *planner) firstOf(group string, other int) int {
	if id, ok := p.firsts[group]; ok {
		return id
	}
	return other
}

func (p *planner) foldersWithContent() map[string]bool {
	full := map[string]bool{}
	for _, e := range p.tree.Entries {
		full[path.Dir(e.Path)] = true
	}
	return full
}

// collect builds each layer's sorted entry list with the parents it needs.
func (p *planner) collect() []Layer {
	at := make(map[string]*builder.Entry, len(p.tree.Entries)/8)
	have := map[int]map[string]bool{} // by layer, the folders that are in it
	for i := range p.tree.Entries {
		e := &p.tree.Entries[i]
		if e.Type == builder.Dir {
			at[e.Path] = e
		}
		id, ok := p.layerOf[e.Path]
		if !ok {
			continue
		}
		if have[id] == nil {
			have[id] = map[string]bool{".": true}
		}
		l := p.layers[id]
		l.Entries = append(appendParents(l.Entries, e.Path, have[id], at), e)
		if e.Type == builder.Dir {
			have[id][e.Path] = true
		}
	}
	var out []Layer
	for _, id := range slices.Sorted(maps.Keys(p.layers)) {
		if len(p.layers[id].Entries) > 0 {
			// Nearly sorted: only a folder such as a may come behind a-b, which sorts between a and a/x.
			slices.SortFunc(p.layers[id].Entries, func(a, b *builder.Entry) int { return strings.Compare(a.Path, b.Path) })
			out = append(out, *p.layers[id])
		}
	}
	return out
}

// appendParents adds the folders above name that a layer does not have yet, in no particular order.
func appendParents(entries []*builder.Entry, name string, have map[string]bool, at map[string]*builder.Entry) []*builder.Entry {
	dir := path.Dir(name)
	if have[dir] {
		return entries
	}
	have[dir] = true
	return append(appendParents(entries, dir, have, at), at[dir])
}
