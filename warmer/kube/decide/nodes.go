package decide

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	taints "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
)

// Nodes chooses nodes as the scheduler would for a pod.
type Nodes struct {
	affinity    nodeaffinity.RequiredNodeAffinity
	tolerations []corev1.Toleration
}

// NodesOf are those that a WarmSet applies to. The error is about a term of its affinity, which then matches nothing.
func NodesOf(s *v1alpha1.WarmSetSpec) (Nodes, error) {
	var affinity *corev1.Affinity
	if s.NodeAffinity != nil {
		affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: s.NodeAffinity}}
		if _, err := nodeaffinity.NewNodeSelector(s.NodeAffinity); err != nil {
			return Nodes{}, fmt.Errorf("nodeAffinity: %w", err)
		}
	}
	return Nodes{affinity: nodeaffinity.NewRequiredNodeAffinity(s.NodeSelector, affinity), tolerations: s.Tolerations}, nil
}

// Match says that the images are wanted on a node. That a node is cordoned, or not ready, does not matter here: it will
// pass, and what is warm there is to stay.
func (n Nodes) Match(node *corev1.Node) bool {
	if ok, err := n.affinity.Match(node); err != nil || !ok {
		return false
	}
	_, untolerated := taints.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, n.tolerations, lasting, false)
	return !untolerated
}

// lasting tells taints that keep pods away for good from those that pass.
func lasting(t *corev1.Taint) bool {
	switch {
	case t.Effect == corev1.TaintEffectPreferNoSchedule, t.Key == v1alpha1.ColdTaint:
		return false
	case strings.HasPrefix(t.Key, "node.kubernetes.io/"), t.Key == "node.cloudprovider.kubernetes.io/uninitialized":
		return false
	}
	return true
}

// TakesPods says that a node counts: pods could start on it, or could once it is warm.
func TakesPods(n *corev1.Node) bool {
	if n.Spec.Unschedulable || n.DeletionTimestamp != nil {
		return false
	}
	for i := range n.Status.Conditions {
		if c := &n.Status.Conditions[i]; c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Belongs says that a NodeCache is this node's, not that of an earlier one of its name.
func Belongs(c *v1alpha1.NodeCache, n *corev1.Node) bool {
	for i := range c.OwnerReferences {
		if c.OwnerReferences[i].UID == n.UID {
			return true
		}
	}
	return false
}
