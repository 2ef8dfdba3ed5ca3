package decide

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
)

// Node makes a node's labels say which WarmSets are warm there, takes its cold taint away if everything that applies is,
// and says whether either changed something. It never adds a taint. With nothing that applies, a node is warm once its
// agent has looked at it. settled says that sets are complete: before, no taint goes.
func Node(n *corev1.Node, cache *v1alpha1.NodeCache, sets []Set, settled bool) (changed, thawed bool) {
	if cache != nil && !Belongs(cache, n) {
		cache = nil
	}
	labels, all := map[string]bool{}, settled && cache != nil && cache.Status.Observed
	for i := range sets {
		s := &sets[i]
		if s.err != nil || len(s.refs) == 0 || !s.nodes.Match(n) {
			continue
		}
		if warm(cache, s) {
			labels[WarmLabel(s.Name)] = true
		} else {
			all = false
		}
	}
	changed = label(n, labels)
	if all && Cold(n) {
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, cold)
		return true, true
	}
	return changed, false
}

// Cold says that a node has the startup taint.
func Cold(n *corev1.Node) bool { return slices.ContainsFunc(n.Spec.Taints, cold) }

func cold(t corev1.Taint) bool { return t.Key == v1alpha1.ColdTaint }

func warm(cache *v1alpha1.NodeCache, s *Set) bool {
	for _, ref := range s.refs {
		if c := find(cache, ref, s.Spec.Layers); c == nil || c.State != v1alpha1.ImageWarm {
			return false
		}
	}
	return true
}

func label(n *corev1.Node, want map[string]bool) (changed bool) {
	for l := range n.Labels {
		if strings.HasPrefix(l, v1alpha1.WarmLabelPrefix) && !want[l] {
			delete(n.Labels, l)
			changed = true
		}
	}
	for l := range want {
		if n.Labels[l] != "true" {
			if n.Labels == nil {
				n.Labels = map[string]string{}
			}
			n.Labels[l] = "true"
			changed = true
		}
	}
	return changed
}

// Players counts those on a node's servers: the entries of their players lists, and one for an allocated server that
// keeps none.
func Players(servers []agones.GameServer) int32 {
	var n int
	for i := range servers {
		s := &servers[i].Status
		here := len(s.Lists[agones.PlayersList].Values)
		if here == 0 && s.State == agones.Allocated {
			here = 1
		}
		n += here
	}
	return int32(min(n, 1<<20))
}
