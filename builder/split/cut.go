package split

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// target is the layer size to aim for: the mean, rounded to a power of the square root of two, so that a tree which
// grows a little keeps its boundaries.
func target(total int64, layers int) int64 {
	mean := float64(max(total/int64(layers), minTarget))
	steps := math.Round(2 * math.Log2(mean))
	return int64(math.Pow(2, steps/2))
}

// cut places files by a content-defined cut of the sorted path list, separately for each group and codec.
func (p *planner) cut() {
	groups := map[string][]*builder.Entry{}
	for e := range p.tree.Files() {
		groups[p.o.Group(e)] = append(groups[p.o.Group(e)], e)
	}
	id := 0
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		p.firsts[group] = id
		for _, codec := range p.codecOrder() {
			var files []*builder.Entry
			for _, e := range groups[group] {
				if p.codec(e) == codec {
					files = append(files, e)
				}
			}
			for ; len(files) > 0; id++ {
				n := p.boundary(files)
				for _, e := range files[:n] {
					p.place(e, id, codec)
				}
				files = files[n:]
			}
		}
	}
}

func (p *planner) codecOrder() []string {
	if p.o.Codec != Auto {
		return []string{p.o.Codec}
	}
	return []string{stored, compressed}
}

// boundary is how many of the files the next layer takes. Among the places where it would have between three and five
// quarters of the target, it ends before the file whose path throws the smallest coin: what lies elsewhere in the tree
// does not matter, so that boundaries come back soon behind an edit, and layers are of nearly one size. That is what an
// edit costs least with: a file is in a large layer more often than in a small one.
func (p *planner) boundary(files []*builder.Entry) int {
	var size int64
	best, smallest := len(files), 2.0
	for i, e := range files {
		switch {
		case i > 0 && size+e.Size > p.o.MaxLayerSize:
			return min(best, i)
		case i == 0 || p.o.Layers == 1 || size < 3*p.target/4:
		case size > 5*p.target/4:
			return min(best, i)
		default:
			if c := coin(e.Path); c < smallest {
				best, smallest = i, c
			}
		}
		size += e.Size
	}
	if size <= 5*p.target/4 || p.o.Layers == 1 {
		return len(files) // no crumb is left over
	}
	return best
}

// coin is a number in [0,1) that depends on the path alone.
func coin(name string) float64 {
	sum := sha256.Sum256([]byte(name))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}
