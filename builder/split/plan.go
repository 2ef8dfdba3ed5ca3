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
	// Measure compresses a sample of a file's first bytes, at most limit; needed for Auto.
	Measure func(ctx context.Context, e *builder.Entry, limit int64) (in, out int64, err error)
}

// Layer is one layer of the plan.
type Layer struct {
	ID    int
	Codec string
	// Entries are what the layer is there for and all their parent directories, sorted; the pointers are into the tree.
	Entries []*builder.Entry
	// Own marks the entries that the layer is there for: the others are parents.
	Own map[string]bool
}

// Result is a plan.
type Result struct {
	// Layers are in image order, bottom first.
	Layers []Layer
	// Classes is the policy that Auto used.
	Classes []lock.Class
}

// Plan assigns every entry of the tree to a layer, keeping to prev where it is given. It fails with a Policy error
// if a file is larger than any registry takes.
func Plan(ctx context.Context, tree builder.Tree, prev *lock.Lock, o Options) (Result, error) {
	o.Layers = max(1, o.Layers)
	o.MaxLayerSize = cmp.Or(o.MaxLayerSize, DefaultMaxLayerSize)
	for e := range tree.Files() {
		if e.Size > MaxFileSize {
			return Result{}, builder.Errorf(builder.Policy, "split the file, or exclude it",
				"%s has %d bytes, registries take layers of at most %d", e.Path, e.Size, int64(MaxFileSize))
		}
	}
	codecs, classes, err := chooseCodecs(ctx, tree, prev, o)
	if err != nil {
		return Result{}, err
	}
	p := &planner{tree: tree, o: o, codecs: codecs, layerOf: map[string]int{}, layers: map[int]*Layer{}, size: map[int]int64{}}
	p.target = target(tree.Size(), o.Layers)
	if prev != nil && len(prev.Files) > 0 {
		p.sticky(prev)
	} else {
		p.cut()
	}
	p.placeOthers(prev)
	return Result{Layers: p.collect(), Classes: classes}, nil
}

type planner struct {
	tree    builder.Tree
	o       Options
	codecs  map[string]string // by extension
	target  int64
	layerOf map[string]int // by path
	layers  map[int]*Layer
	size    map[int]int64
}

func (p *planner) codec(e *builder.Entry) string {
	if p.o.Codec != Auto {
		return p.o.Codec
	}
	return p.codecs[class(e)]
}

func (p *planner) place(e *builder.Entry, id int, codec string) {
	if p.layers[id] == nil {
		p.layers[id] = &Layer{ID: id, Codec: codec, Own: map[string]bool{}}
	}
	p.layerOf[e.Path] = id
	p.layers[id].Own[e.Path] = true
	p.size[id] += e.Size
}

func (p *planner) nextID() int {
	next := 0
	for id := range p.layers {
		next = max(next, id+1)
	}
	return next
}

// placeOthers puts hard links with their targets, and symlinks and empty folders where the lock has them or else
// beside the file that precedes them.
func (p *planner) placeOthers(prev *lock.Lock) {
	before := map[string]int{}
	if prev != nil {
		for _, f := range prev.Files {
			before[f.Path] = f.Layer
		}
	}
	if len(p.layers) == 0 && len(p.tree.Entries) > 0 {
		codec := p.o.Codec
		if codec == Auto {
			codec = compressed
		}
		p.layers[0] = &Layer{Codec: codec, Own: map[string]bool{}}
	}
	near := slices.Min(append(slices.Collect(maps.Keys(p.layers)), p.nextID()))
	full := p.foldersWithContent()
	for i := range p.tree.Entries {
		e := &p.tree.Entries[i]
		switch {
		case e.Type == builder.Regular:
			near = p.layerOf[e.Path]
			continue
		case e.Type == builder.Dir && full[e.Path]:
			continue
		case e.Type == builder.Hardlink:
			p.place(e, p.layerOf[e.Link], "")
			continue
		}
		id := near
		if was, ok := before[e.Path]; ok && p.layers[was] != nil {
			id = was
		}
		p.place(e, id, "")
	}
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
		p.layers[id].Entries = append(appendParents(p.layers[id].Entries, e.Path, have[id], at), e)
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
