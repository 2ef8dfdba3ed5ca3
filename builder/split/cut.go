package split

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// target is the layer size to aim for: the mean, rounded to a power of the square root of two, so that a tree which
// grows a little keeps its boundaries.
func target(total int64, layers int) int64 {
	mean := float64(max(total/int64(layers), minTarget))
	steps := math.Round(2 * math.Log2(mean))
	return int64(math.Pow(2, steps/2))
}

// cut places files by a content-defined cut of the sorted path list, separately for each codec.
func (p *planner) cut() {
	id := 0
	for _, codec := range p.codecOrder() {
		var size int64
		started := false
		for e := range p.tree.Files() {
			if p.codec(e) != codec {
				continue
			}
			if started && p.boundary(e, size) {
				id, size = id+1, 0
			}
			p.place(e, id, codec)
			size += e.Size
			started = true
		}
		if started {
			id++
		}
	}
}

func (p *planner) codecOrder() []string {
	if p.o.Codec != Auto {
		return []string{p.o.Codec}
	}
	return []string{stored, compressed}
}

// boundary decides whether a layer that holds size bytes ends before e. Past half the target the answer is a coin weighted
// by e's size and thrown by its path alone, so that what lies elsewhere in the tree does not matter.
func (p *planner) boundary(e *builder.Entry, size int64) bool {
	if size+e.Size > p.o.MaxLayerSize {
		return true
	}
	if p.o.Layers == 1 || size < p.target/2 {
		return false
	}
	return size+e.Size > 2*p.target || coin(e.Path) < float64(e.Size)/float64(p.target/2)
}

// coin is a number in [0,1) that depends on the path alone.
func coin(name string) float64 {
	sum := sha256.Sum256([]byte(name))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}
