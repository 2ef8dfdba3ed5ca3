package build

import (
	"context"

	"github.com/dustin/go-humanize"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
)

// checkBudgets fails with a Policy error if the image, or what it costs a node that holds the tag's present image,
// is larger than the pipeline allows. It runs before any tag moves.
func (r *run) checkBudgets(ctx context.Context, index compose.Index) error {
	b := r.req.Budgets
	if b == (Budgets{}) {
		return nil
	}
	if err := r.known.loadPrevious(ctx); err != nil {
		return err
	}
	for _, img := range index.Images {
		size, edit := pullBytes(img, r.known.previous)
		switch {
		case b.Layers > 0 && len(img.Layers) > b.Layers:
			return builder.Errorf(builder.Policy, "lower split.layers, or raise budgets.layers",
				"%s has %d layers, the budget is %d", img.Platform, len(img.Layers), b.Layers)
		case b.ImageBytes > 0 && size > b.ImageBytes:
			return builder.Errorf(builder.Policy, "exclude what a server does not open, or raise budgets.image",
				"a cold node pulls %s for %s, the budget is %s", bytesText(size), img.Platform, bytesText(b.ImageBytes))
		case b.EditBytes > 0 && r.known.previous != nil && edit > b.EditBytes:
			return builder.Errorf(builder.Policy, "split the change, or raise budgets.edit for it",
				"a node with the present image pulls %s for %s, the budget is %s", bytesText(edit), img.Platform, bytesText(b.EditBytes))
		}
	}
	return nil
}

func bytesText(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// pullBytes is what a cold node pulls, and what one pulls that holds previous.
func pullBytes(img compose.Image, previous *inspect.Image) (cold, warm int64) {
	have := map[v1.Hash]bool{}
	if previous != nil {
		for _, p := range previous.Platforms {
			if p.Platform.Equals(img.Platform) {
				for _, d := range p.Blobs() {
					have[d.Digest] = true
				}
			}
		}
	}
	for _, l := range img.Layers {
		d := l.Descriptor
		cold += d.Size
		if !have[d.Digest] {
			warm += d.Size
		}
	}
	return cold, warm
}
