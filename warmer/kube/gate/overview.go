package gate

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

// Row is one image on one node. A node without an image has a row without one. Sizes are in bytes.
type Row struct {
	Node    string              `json:"node"`
	Image   string              `json:"image,omitempty"`
	Layers  v1alpha1.Layers     `json:"layers,omitempty"`
	State   v1alpha1.ImageState `json:"state,omitempty"`
	Wanted  int64               `json:"wanted"`
	Present int64               `json:"present"`
	Players int32               `json:"players"`
	// ETASeconds is how long the node will still fetch what is not warm of the image; 0 if nobody can tell.
	ETASeconds int64 `json:"etaSeconds,omitempty"`
	// Message is an error, or what is odd about the node.
	Message string `json:"message,omitempty"`
}

// Overview is what every node says, by node and image.
func Overview(ctx context.Context, c client.Client) ([]Row, error) {
	nodes, caches := &corev1.NodeList{}, &v1alpha1.NodeCacheList{}
	if err := c.List(ctx, nodes); err != nil {
		return nil, err
	}
	if err := c.List(ctx, caches); err != nil {
		return nil, err
	}
	by := map[string]*v1alpha1.NodeCache{}
	for i := range caches.Items {
		by[caches.Items[i].Name] = &caches.Items[i]
	}
	var rows []Row
	for i := range nodes.Items {
		rows = append(rows, of(&nodes.Items[i], by[nodes.Items[i].Name])...)
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Image, b.Image)) })
	return rows, nil
}

func of(n *corev1.Node, c *v1alpha1.NodeCache) []Row {
	row := Row{Node: n.Name}
	switch {
	case c == nil || !decide.Belongs(c, n):
		row.Message = "no agent has said anything"
	case len(c.Status.Images) == 0:
		row.Players, row.Message = c.Spec.Players, "nothing is wanted here"
	default:
		rows := make([]Row, 0, len(c.Status.Images))
		for i := range c.Status.Images {
			x := &c.Status.Images[i]
			work := decide.Work{Remaining: max(0, x.WantedBytes-x.PresentBytes), PerSecond: c.Status.BytesPerSecond}
			if x.State == v1alpha1.ImageWarm || x.State == v1alpha1.ImageFailed {
				work.Remaining = 0
			}
			rows = append(rows, Row{
				Node: n.Name, Image: x.Ref, Layers: x.Layers, State: x.State, Wanted: x.WantedBytes, Present: x.PresentBytes,
				Players: c.Spec.Players, ETASeconds: int64(decide.ETA([]decide.Work{work}).Seconds()), Message: x.Error,
			})
		}
		return rows
	}
	return []Row{row}
}
