package split

import (
	"strconv"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

// sticky keeps files in the layers that the lock says. What is new goes to where its content was before (a rename), else
// to its neighbour's layer, else to the emptiest layer of its codec, else to a new one.
func (p *planner) sticky(prev *lock.Lock) {
	codecOf := map[int]string{}
	for _, l := range prev.Layers {
		if l.Kind == "base" {
			codecOf[l.ID] = l.Codec
		}
	}
	was, content := map[string]lock.File{}, map[string]lock.File{}
	for _, f := range prev.Files {
		was[f.Path] = f
		if f.Type == 'f' {
			content[contentKey(f.SHA256, f.Size)] = f
		}
	}
	var fresh []*builder.Entry
	for e := range p.tree.Files() {
		f, ok := was[e.Path]
		if !ok {
			f, ok = content[contentKey(e.SHA256.Hex, e.Size)]
		}
		if codec := codecOf[f.Layer]; ok && codec == p.codec(e) {
			p.place(e, f.Layer, codec)
		} else {
			fresh = append(fresh, e)
		}
	}
	next := p.nextID()
	for id := range codecOf {
		next = max(next, id+1)
	}
	for _, e := range fresh {
		id := p.home(e)
		if id < 0 {
			id, next = next, next+1
		}
		p.place(e, id, p.codec(e))
	}
}

func contentKey(sha256 string, size int64) string { return sha256 + " " + strconv.FormatInt(size, 10) }

// home finds a layer with room: the one of the nearest file before e with the same codec, or the emptiest; -1 if
// there is none.
func (p *planner) home(e *builder.Entry) int {
	codec, near := p.codec(e), -1
	for other := range p.tree.Files() {
		if other.Path >= e.Path && near >= 0 {
			break
		}
		if id, ok := p.layerOf[other.Path]; ok && p.layers[id].Codec == codec {
			near = id
		}
	}
	if near >= 0 && p.fits(near, e) {
		return near
	}
	best := -1
	for id, l := range p.layers {
		if l.Codec == codec && p.fits(id, e) && (best < 0 || p.size[id] < p.size[best] || p.size[id] == p.size[best] && id < best) {
			best = id
		}
	}
	return best
}

func (p *planner) fits(id int, e *builder.Entry) bool {
	if p.size[id]+e.Size > p.o.MaxLayerSize {
		return false
	}
	return p.o.Layers == 1 || p.size[id]+e.Size <= 2*p.target
}
