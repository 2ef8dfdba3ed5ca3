package containerd

import (
	"context"
	"fmt"
	"strings"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Listed is an image that some owner keeps on the node.
type Listed struct {
	warmer.Want
	Owner string
}

// List lists what is kept, whoever's it is.
func (r *Runtime) List(ctx context.Context) ([]Listed, error) {
	records, err := r.client.ImageService().List(ctx, fmt.Sprintf("labels.%q", labelKey))
	if err != nil {
		return nil, fmt.Errorf("list images: %w", problem(err))
	}
	var out []Listed
	for i := range records {
		l := records[i].Labels
		want := warmer.Want{Ref: records[i].Name, Platform: l[labelPlatform], Layers: warmer.All, Pin: l[labelPinned] == pinned}
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
