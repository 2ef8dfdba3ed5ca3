package containerd

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Listed is an image that some owner keeps on the node.
type Listed struct {
	warmer.Want
	Owner string
}

// List lists what is kept, whoever's it is.
func (r *Runtime) List(ctx context.Context) ([]Listed, error) {
	inv, err := r.inventory(ctx)
	if err != nil {
		return nil, err
	}
	var out []Listed
	for i := range inv.images {
		l := inv.images[i].Labels
		if l[labelKey] == "" {
			continue
		}
		want := warmer.Want{Ref: inv.images[i].Name, Platform: l[labelPlatform], Layers: warmer.All, Pin: l[labelPinned] == pinned}
		out = append(out, Listed{Want: want, Owner: l[labelOwner]})
	}
	held, err := r.client.LeasesService().List(ctx, fmt.Sprintf("labels.%q", labelRef))
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", problem(err))
	}
	for _, l := range held {
		if strings.Contains(l.ID, "-"+kept+"-") {
			want := warmer.Want{Ref: l.Labels[labelRef], Platform: l.Labels[labelPlatform], Layers: warmer.Assets}
			out = append(out, Listed{Want: want, Owner: l.Labels[labelOwner]})
		}
	}
	return out, nil
}

// Stored is how many bytes the content store has, of all images.
func (r *Runtime) Stored(ctx context.Context) (int64, error) {
	var n int64
	err := r.client.ContentStore().Walk(ctx, func(i content.Info) error {
		n += i.Size
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("list content: %w", problem(err))
	}
	return n, nil
}
