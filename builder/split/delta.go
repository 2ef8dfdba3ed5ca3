package split

import (
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

// Bounds of the log: see docs/decisions/0006-delta-layers.md.
const (
	// DefaultMaxDeltas is how many delta layers there may be before two of them are merged.
	DefaultMaxDeltas = 24
	// mostDead is how many percent of the tree may be dead bytes: replaced or deleted by a layer above.
	mostDead = 10
)

// grow plans a log-structured store: layers that exist stay as they are, and one delta layer on top brings what differs.
//
// The new delta is the difference between what the stack shows and what is wanted, so that the result is right whatever the
// stack holds; compaction only decides which layers the stack keeps.
func (p *planner) grow(prev *lock.Lock) {
	g := &grower{planner: p, wanted: map[string]lock.File{}, anew: map[int]bool{}}
	for _, s := range strata(prev) {
		g.stack = append(g.stack, s)
		g.next = max(g.next, s.ID+1)
	}
	for i := range p.tree.Entries {
		e := &p.tree.Entries[i]
		g.wanted[e.Path] = valueOf(p.line(e, 0))
	}
	g.dropLost()
	g.dropConflicts()
	g.rewriteReplaced()
	v := g.dropUnfit()
	for g.rewriteDirtiest(v) {
		v = g.dropUnfit()
	}
	g.addDelta(v)
	if g.mergeDeltas() {
		g.settle()
	}
	g.emit()
}

type grower struct {
	*planner
	wanted map[string]lock.File
	stack  []*stratum   // base layers, then deltas
	anew   map[int]bool // layers to be made
	next   int          // unused ID
}

// view is what the image shows with the layers below the one at index end.
func (g *grower) view(end int) view {
	v, _ := g.lay(g.stack[:end], func(view, *stratum) bool { return true })
	return v
}

// lay puts those of the layers that are taken over each other, with the other phases between base layers and deltas.
func (g *grower) lay(stack []*stratum, take func(view, *stratum) bool) (view, []*stratum) {
	v := view{}
	var taken []*stratum
	deltas := slices.IndexFunc(stack, func(s *stratum) bool { return !s.base() })
	for i, s := range stack {
		if i == deltas {
			v.insert(g.o.Others)
		}
		if take(v, s) {
			v.apply(s)
			taken = append(taken, s)
		}
	}
	if deltas < 0 {
		v.insert(g.o.Others)
	}
	return v, taken
}

// owned reports whether another phase decides what is at a path.
func (g *grower) owned(name string) bool {
	_, ok := g.o.Others[name]
	return ok
}

// live are the lines of a layer that the image shows, if it is to show them.
func (g *grower) live(s *stratum, v view) []lock.File {
	var out []lock.File
	for _, f := range s.files {
		if have, ok := v[f.Path]; ok && have.layer == s.ID && g.wanted[f.Path] == valueOf(f) {
			out = append(out, f)
		}
	}
	return out
}

func size(files []lock.File) (n int64) {
	for _, f := range files {
		n += f.Size
	}
	return n
}

// dropLost gives up layers that no repository has and that cannot be made again. What lives of a base layer becomes a new
// one in its place, and what lives of a delta comes with the new delta.
func (g *grower) dropLost() {
	if len(g.o.Lost) == 0 {
		return
	}
	v := g.view(len(g.stack))
	g.stack = slices.DeleteFunc(g.stack, func(s *stratum) bool {
		if !g.o.Lost[s.ID] {
			return false
		}
		if s.base() {
			g.rewrite(s, g.live(s, v))
		}
		return len(s.files) == 0 || !s.base()
	})
}

// rewrite makes a base layer of what still lives in it.
func (g *grower) rewrite(s *stratum, live []lock.File) {
	s.files = live
	g.anew[s.ID] = true
}

// dropConflicts gives up deltas that hide or delete what other phases write now.
func (g *grower) dropConflicts() {
	g.stack = slices.DeleteFunc(g.stack, func(s *stratum) bool {
		if s.base() {
			return false
		}
		if slices.ContainsFunc(s.gone, g.owned) {
			return true
		}
		for _, f := range s.files {
			if g.owned(f.Path) {
				return true
			}
		}
		return false
	})
}

// rewriteReplaced puts files that another phase replaces on purpose into base layers, where they are below it.
func (g *grower) rewriteReplaced() {
	var replaced []*builder.Entry
	for i := range g.tree.Entries {
		if e := &g.tree.Entries[i]; e.Type != builder.Dir && g.owned(e.Path) {
			replaced = append(replaced, e)
		}
	}
	if len(replaced) == 0 {
		return
	}
	bases := slices.IndexFunc(g.stack, func(s *stratum) bool { return !s.base() })
	if bases < 0 {
		bases = len(g.stack)
	}
	v := view{}
	for _, s := range g.stack[:bases] {
		v.apply(s)
	}
	for _, e := range replaced {
		have, there := v[e.Path]
		if there && have.what == g.wanted[e.Path] {
			continue
		}
		home := g.home(have.layer, there)
		live := slices.DeleteFunc(slices.Clone(home.files), func(f lock.File) bool {
			return f.Path == e.Path || g.wanted[f.Path] != valueOf(f)
		})
		live = append(live, g.line(e, home.ID))
		slices.SortFunc(live, byPath)
		g.rewrite(home, live)
	}
}

// home is the base layer with this ID, else the lowest one, which is made if there is none.
func (g *grower) home(id int, there bool) *stratum {
	for _, s := range g.stack {
		if there && s.base() && s.ID == id {
			return s
		}
	}
	if len(g.stack) == 0 || !g.stack[0].base() {
		g.stack = slices.Insert(g.stack, 0, &stratum{Layer: lock.Layer{ID: g.next, Kind: base}})
		g.next++
	}
	return g.stack[0]
}

// rewriteDirtiest makes the base layer with the most dead bytes anew if there are too many in all. It reports whether it did.
func (g *grower) rewriteDirtiest(v view) bool {
	var dead, most int64
	var dirtiest *stratum
	for _, s := range g.stack {
		d := size(s.files) - size(g.live(s, v))
		dead += d
		if s.base() && d > most {
			most, dirtiest = d, s
		}
	}
	if dead <= g.tree.Size()/100*mostDead || dirtiest == nil {
		return false
	}
	g.rewrite(dirtiest, g.live(dirtiest, v))
	if len(dirtiest.files) == 0 {
		g.stack = slices.DeleteFunc(g.stack, func(s *stratum) bool { return s == dirtiest })
	}
	return true
}

// dropUnfit gives up deltas that no longer fit on what is below them, and returns what the stack shows.
func (g *grower) dropUnfit() view {
	v, fit := g.lay(g.stack, func(v view, s *stratum) bool { return s.base() || v.takes(s) })
	g.stack = fit
	return v
}

// addDelta lays what differs over the stack.
func (g *grower) addDelta(below view) {
	d := &stratum{Layer: lock.Layer{ID: g.next, Kind: delta}}
	changed := g.changed(below)
	for i := range g.tree.Entries {
		if e := &g.tree.Entries[i]; changed[e.Path] {
			d.files = append(d.files, g.line(e, d.ID))
		}
	}
	d.gone = g.surplus(below)
	if len(d.files)+len(d.gone) == 0 {
		return
	}
	g.anew[d.ID] = true
	g.stack = append(g.stack, d)
	g.next++
}

// changed are the paths that a view does not show as wanted. The names of one file go together.
func (g *grower) changed(v view) map[string]bool {
	changed := map[string]bool{}
	group := map[string]bool{} // targets of hard links, one of whose names changed
	for i := range g.tree.Entries {
		e := &g.tree.Entries[i]
		if g.owned(e.Path) || v[e.Path].what == g.wanted[e.Path] {
			continue
		}
		changed[e.Path] = true
		group[e.Path] = true
		if e.Type == builder.Hardlink {
			group[e.Link] = true
		}
	}
	for i := range g.tree.Entries {
		e := &g.tree.Entries[i]
		if e.Type == builder.Hardlink && group[e.Link] {
			changed[e.Link], changed[e.Path] = true, true
		}
	}
	return changed
}

// surplus are the topmost paths that a view shows and nobody wants: a folder goes with all that is in it.
func (g *grower) surplus(v view) []string {
	var out []string
	for _, p := range sortedKeys(v) {
		if _, ok := g.wanted[p]; ok || g.owned(p) {
			continue
		}
		parent := path.Dir(p)
		want, ok := g.wanted[parent]
		if parent == "." || g.o.Others[parent] || ok && want.Type == 'd' {
			out = append(out, p)
		}
	}
	return out
}

// settle replaces the uppermost delta if the stack does not show what is wanted: a layer may have relied on something
// below it that a merged layer leaves out.
func (g *grower) settle() {
	v := g.dropUnfit()
	if len(g.changed(v))+len(g.surplus(v)) == 0 {
		return
	}
	if last := len(g.stack) - 1; last >= 0 && !g.stack[last].base() {
		g.stack = g.stack[:last]
	}
	g.addDelta(g.view(len(g.stack)))
}

// mergeDeltas keeps the number of deltas down: the two neighbours that are cheapest to send again become one. It reports
// whether any did.
func (g *grower) mergeDeltas() (merged bool) {
	for ; ; merged = true {
		first := slices.IndexFunc(g.stack, func(s *stratum) bool { return !s.base() })
		if first < 0 || len(g.stack)-first <= g.o.MaxDeltas {
			return merged
		}
		v := g.view(len(g.stack))
		best, cheapest := first, int64(-1)
		for i := first; i+1 < len(g.stack); i++ {
			cost := size(g.live(g.stack[i], v)) + size(g.live(g.stack[i+1], v))
			if cheapest < 0 || cost < cheapest {
				best, cheapest = i, cost
			}
		}
		g.merge(best)
	}
}

// merge puts the deltas at i and i+1 into one: what changes between the stack below and the stack with both, as far as it
// is shown in the end. What layers above replace or delete is left out.
func (g *grower) merge(i int) {
	below, with, top := g.view(i), g.view(i+2), g.view(len(g.stack))
	lower, upper := g.stack[i], g.stack[i+1]
	m := &stratum{Layer: lock.Layer{ID: upper.ID, Kind: delta}}
	keep := map[string]bool{}
	for _, s := range []*stratum{lower, upper} {
		for _, f := range g.live(s, top) {
			keep[f.Path] = true
		}
	}
	for j := range g.tree.Entries {
		if e := &g.tree.Entries[j]; keep[e.Path] {
			m.files = append(m.files, g.line(e, m.ID))
		}
	}
	for _, p := range sortedKeys(below) {
		_, stays := with[p]
		if parent, ok := with[path.Dir(p)]; !stays && !g.owned(p) && (path.Dir(p) == "." || ok && parent.what.Type == 'd') {
			m.gone = append(m.gone, p)
		}
	}
	g.anew[m.ID] = true
	g.stack = slices.Delete(g.stack, i, i+1)
	g.stack[i] = m
	if len(m.files)+len(m.gone) == 0 {
		g.stack = slices.Delete(g.stack, i, i+1)
	}
}

// emit turns the stack into the plan's layers.
func (g *grower) emit() {
	at := map[string]*builder.Entry{}
	for i := range g.tree.Entries {
		at[g.tree.Entries[i].Path] = &g.tree.Entries[i]
	}
	for _, s := range g.stack {
		l := Layer{ID: s.ID, Kind: s.Kind, Codec: s.Codec, Gone: s.gone, Files: s.files}
		whole := true // can be made of the tree as it is
		for _, f := range s.files {
			whole = whole && g.wanted[f.Path] == valueOf(f)
		}
		if !g.anew[s.ID] {
			known := s.Layer
			l.Known = &known
		}
		if l.Codec == "" {
			l.Codec = g.deltaCodec(s.files)
		}
		if whole {
			l.Entries = g.entries(s, at)
		}
		g.grown = append(g.grown, l)
	}
}

// deltaCodec is one codec for a small layer of all kinds of files.
func (g *grower) deltaCodec(files []lock.File) string {
	if g.o.Codec != Auto {
		return g.o.Codec
	}
	var storedBytes, all int64
	for _, f := range files {
		all += f.Size
		if g.codecs[extensionOf(f.Path)] == stored {
			storedBytes += f.Size
		}
	}
	if storedBytes*2 > all {
		return stored
	}
	return compressed
}

// entries are what a layer is made of. Base layers hold the folders above their files; a delta has no entry that it does
// not bring, so that no folder of another phase is touched.
func (g *grower) entries(s *stratum, at map[string]*builder.Entry) []*builder.Entry {
	var out []*builder.Entry
	have := map[string]bool{".": true}
	for _, f := range s.files {
		if have[f.Path] {
			continue
		}
		if s.base() {
			out = appendParents(out, f.Path, have, at)
		}
		have[f.Path] = true
		out = append(out, at[f.Path])
	}
	slices.SortFunc(out, func(a, b *builder.Entry) int { return strings.Compare(a.Path, b.Path) })
	return out
}
