package agent

import (
	"context"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Local looks at an image on the node, without asking any registry. It fails with [warmer.ErrNotFound] if the node does not
// have the image's documents.
func Local(ctx context.Context, r warmer.Runtime, platform string, w warmer.Want) (warmer.Image, warmer.Observed, error) {
	a := New(Options{Runtime: r, Platform: platform})
	known, err := a.remembered(ctx, warmer.Hold{Key: w.Key(), Want: w})
	if err != nil {
		return warmer.Image{}, warmer.Observed{}, err
	}
	seen, err := r.Observe(ctx, w, known.Image)
	return known.Image, seen, err
}

// Complete says that all that is wanted of an image is there and kept.
func Complete(w warmer.Want, i warmer.Image, o warmer.Observed) bool {
	for _, l := range w.Layers.Select(i.Layers) {
		if !o.Blobs[l.Digest].Complete || !o.Snapshots[l.ChainID] {
			return false
		}
	}
	return o.Documents && o.Kept
}
