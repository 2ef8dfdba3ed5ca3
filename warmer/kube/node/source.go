package node

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

var (
	_ agent.Source  = (*Node)(nil)
	_ agent.Players = Players{}
)

// Watch tells what the WarmSets want of this node. It says nothing before it knows, nor while the Node is not there; what was
// wanted in an earlier life ([Options.State]) stands in when the API server is away from the start.
func (n *Node) Watch(ctx context.Context, set func([]warmer.Want)) error {
	var last []warmer.Want
	knows := false
	n.early(ctx, func(t told) {
		last, knows = t.Wants, true
		n.o.Log.Warn("the API server is away: what was wanted last is kept warm", "images", len(last))
		set(last)
	})
	return n.follow(ctx, func(v view) {
		if v.node == nil {
			return
		}
		if w := Wants(v.node, v.sets); !knows || !slices.Equal(w, last) {
			last, knows = w, true
			n.o.Log.Info("cluster says what is wanted", "images", len(w))
			set(w)
			n.remember(func(t *told) { t.Wants = w })
		}
	})
}

// step leaves room for the order within a set.
const step = 128

// Wants are the images of the sets that apply to a node. Within a set they are as important as their order says.
func Wants(node *corev1.Node, sets []v1alpha1.WarmSet) []warmer.Want {
	wants := []warmer.Want{}
	for i := range sets {
		s := &sets[i].Spec
		if chosen, err := decide.NodesOf(s); err != nil || !chosen.Match(node) {
			continue
		}
		w := warmer.Want{Layers: warmer.All, Pin: s.Pin == nil || *s.Pin}
		if s.Layers == v1alpha1.AssetsLayers {
			w.Layers = warmer.Assets
		}
		if r := s.Retention; r != nil && r.KeepFor != nil {
			w.Retention = max(0, r.KeepFor.Duration)
		}
		for place, image := range s.Images {
			w.Ref, w.Priority = image.Ref, int(s.Priority)*step+step-1-place
			wants = append(wants, w)
		}
	}
	return warmer.Normalize(wants)
}

// Bandwidth calls set with the lowest limit of the WarmSets that apply, in bytes per second, at once and at every change,
// until ctx ends. 0 means that none has one.
func (n *Node) Bandwidth(ctx context.Context, set func(int64)) error {
	last := int64(-1)
	n.early(ctx, func(t told) {
		last = t.Bandwidth
		set(last)
	})
	return n.follow(ctx, func(v view) {
		if v.node == nil {
			return
		}
		if b := limit(v.node, v.sets); b != last {
			last = b
			set(b)
			n.remember(func(t *told) { t.Bandwidth = b })
		}
	})
}

func limit(node *corev1.Node, sets []v1alpha1.WarmSet) int64 {
	var lowest int64
	for i := range sets {
		s := &sets[i].Spec
		if s.Limits == nil || s.Limits.Bandwidth == nil {
			continue
		}
		if chosen, err := decide.NodesOf(s); err != nil || !chosen.Match(node) {
			continue
		}
		if b := max(1, s.Limits.Bandwidth.Value()); lowest == 0 || b < lowest {
			lowest = b
		}
	}
	return lowest
}

// Players are those that the controller counted.
type Players struct{ Node *Node }

// Watch tells how many are on the node.
func (p Players) Watch(ctx context.Context, set func(int)) error {
	last := 0
	return p.Node.follow(ctx, func(v view) {
		if v.cache == nil {
			return
		}
		if n := int(v.cache.Spec.Players); n != last {
			last = n
			set(n)
		}
	})
}
