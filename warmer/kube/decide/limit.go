package decide

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
)

// Limited adds to a status whether another WarmSet's limit holds instead of the set's own: a node keeps to the lowest of all
// that apply to it. A set without a limit, and one that always had its own, has no such condition.
func Limited(status *v1alpha1.WarmSetStatus, set Set, all []Set, nodes []corev1.Node) {
	c := condition(v1alpha1.Limited, false, v1alpha1.ReasonHealthy, "")
	if by := tighter(set, all, nodes); by != nil {
		c = condition(v1alpha1.Limited, true, v1alpha1.ReasonLowerLimit, fmt.Sprintf(
			"WarmSet %s applies to some of the nodes, too, and has a lower limit, which holds there: %s instead of %s bytes a second",
			by.Name, by.Spec.Limits.Bandwidth, set.Spec.Limits.Bandwidth))
	} else if meta.FindStatusCondition(status.Conditions, v1alpha1.Limited) == nil {
		return
	}
	c.ObservedGeneration = set.Generation
	meta.SetStatusCondition(&status.Conditions, c)
}

// tighter is the set with the lowest limit below this one's that shares a node with it, the first by name of several.
func tighter(set Set, all []Set, nodes []corev1.Node) *Set {
	var found *Set
	for i := range all {
		o := &all[i]
		if !lower(o, &set) || !shared(&set, o, nodes) {
			continue
		}
		if found == nil || lower(o, found) || !lower(found, o) && o.Name < found.Name {
			found = o
		}
	}
	return found
}

// lower says that both have a limit, and a's is the lower one.
func lower(a, b *Set) bool {
	x, y := a.Spec.Limits, b.Spec.Limits
	return x != nil && y != nil && x.Bandwidth != nil && y.Bandwidth != nil && x.Bandwidth.Cmp(*y.Bandwidth) < 0
}

func shared(a, b *Set, nodes []corev1.Node) bool {
	if a.err != nil || b.err != nil {
		return false
	}
	for i := range nodes {
		if n := &nodes[i]; TakesPods(n) && a.nodes.Match(n) && b.nodes.Match(n) {
			return true
		}
	}
	return false
}
