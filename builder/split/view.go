package split

import (
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

// view is what a node sees of a stack of layers.
type view map[string]seen

// seen is one path of a view. what has neither path nor layer, so that entries of different layers compare.
type seen struct {
	what lock.File
	// layer is the uppermost layer that has the path; foreign is not one of the assets' layers.
	layer int
}

// foreign is the layer number of what other phases put into the image.
const foreign = -1

// valueOf is an entry without its place.
func valueOf(f lock.File) lock.File {
	f.Layer, f.Path = 0, ""
	return f
}

// folder is a directory as layers imply it: with the usual mode, owned by root.
var folder = lock.File{Type: 'd', Mode: 0o755, SHA256: "-"}

// stratum is a layer's content: its lines, and what it deletes.
type stratum struct {
	lock.Layer
	files []lock.File // sorted by path
	gone  []string
}

func (s *stratum) base() bool { return s.Kind == base }

// The kinds of asset layers.
const (
	base  = "base"
	delta = "delta"
)

// strata are the layers of a lock, bottom first.
func strata(l *lock.Lock) []*stratum {
	at := map[int]*stratum{}
	var bases, deltas []*stratum
	for _, y := range l.Layers {
		s := &stratum{Layer: y}
		at[y.ID] = s
		if s.base() {
			bases = append(bases, s)
		} else {
			deltas = append(deltas, s)
		}
	}
	for _, f := range l.Files { // sorted by path
		at[f.Layer].files = append(at[f.Layer].files, f)
	}
	for _, g := range l.Gone {
		at[g.Layer].gone = append(at[g.Layer].gone, g.Path)
	}
	return append(bases, deltas...)
}

// apply lays a layer over the view, as the OCI image spec says it of layers: what it deletes goes first; a folder over a
// folder keeps what is in it, everything else replaces. Base layers list the folders above their files as well.
func (v view) apply(s *stratum) {
	for _, p := range s.gone {
		v.parents(p, s) // the entry that deletes lies in the folder
		v.remove(p)
	}
	for _, f := range s.files {
		v.parents(f.Path, s)
		v.put(f.Path, seen{valueOf(f), s.ID})
	}
}

// parents adds the folders above a path. In a base layer they are entries: they set mode and owner.
func (v view) parents(name string, s *stratum) {
	dir := path.Dir(name)
	if dir == "." {
		return
	}
	if have, ok := v[dir]; ok && have.what.Type == 'd' && (!s.base() || have.layer == s.ID) {
		return
	}
	v.parents(dir, s)
	v.put(dir, seen{folder, s.ID})
}

// takes reports whether a delta can be laid over the view: nothing above its paths is anything but a folder, which an engine
// would refuse.
func (v view) takes(s *stratum) bool {
	own := map[string]bool{} // folders that the layer brings
	for _, f := range s.files {
		if !v.inFolders(f.Path, own) {
			return false
		}
		if f.Type == 'd' {
			own[f.Path] = true
		}
	}
	for _, p := range s.gone {
		if !v.inFolders(p, own) {
			return false
		}
	}
	return true
}

func (v view) inFolders(name string, own map[string]bool) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if have, ok := v[dir]; ok && have.what.Type != 'd' && !own[dir] {
			return false
		}
	}
	return true
}

func (v view) put(name string, s seen) {
	if have, ok := v[name]; ok && have.what.Type == 'd' && s.what.Type != 'd' {
		v.remove(name)
	}
	v[name] = s
}

// remove takes a path away, with all below it.
func (v view) remove(name string) {
	have, ok := v[name]
	delete(v, name)
	if !ok || have.what.Type != 'd' {
		return
	}
	for p := range v {
		if strings.HasPrefix(p, name) && len(p) > len(name) && p[len(name)] == '/' {
			delete(v, p)
		}
	}
}

// insert lays what other phases have over the view: paths, and whether they are folders.
func (v view) insert(others map[string]bool) {
	for _, p := range sortedKeys(others) {
		what := lock.File{Type: 'f', SHA256: "foreign"}
		if others[p] {
			what = folder
		}
		v.put(p, seen{what, foreign})
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
