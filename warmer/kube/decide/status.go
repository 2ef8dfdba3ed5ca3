package decide

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
)

// Status says how far a WarmSet is: old with what changed, so that a condition keeps the time of its last change. caches
// are by node name.
func Status(set Set, nodes []corev1.Node, caches map[string]*v1alpha1.NodeCache) v1alpha1.WarmSetStatus {
	t := tally{set: set}
	for _, w := range set.Spec.Images {
		t.images = append(t.images, v1alpha1.ImageStatus{Ref: w.Ref})
	}
	for i := range nodes {
		if n := &nodes[i]; set.err == nil && TakesPods(n) && set.nodes.Match(n) {
			t.node(n, caches[n.Name])
		}
	}
	var eta *metav1.Duration
	if d := ETA(t.work); d > 0 {
		eta = &metav1.Duration{Duration: d}
	}
	out := v1alpha1.WarmSetStatus{
		ObservedGeneration: set.Generation, Nodes: t.nodes, Images: t.images, BytesRemaining: t.remaining, ETA: eta,
		Conditions: set.Status.DeepCopy().Conditions,
	}
	for _, c := range t.conditions(set.err) {
		c.ObservedGeneration = set.Generation
		meta.SetStatusCondition(&out.Conditions, c)
	}
	return out
}

type tally struct {
	set       Set
	images    []v1alpha1.ImageStatus
	nodes     v1alpha1.NodeCounts
	remaining int64
	work      []Work
	// going are nodes where something is neither warm nor failed; first is the failure that is quoted.
	going int32
	first string
}

func (t *tally) node(n *corev1.Node, cache *v1alpha1.NodeCache) {
	warm, failed, going := true, false, false
	var work Work
	if cache != nil && !Belongs(cache, n) {
		cache = nil
	}
	for i := range t.images {
		s := &t.images[i]
		s.Desired++
		c := find(cache, t.set.refs[i], t.set.Spec.Layers)
		switch {
		case c == nil:
			warm, going = false, true
		case c.State == v1alpha1.ImageWarm:
			s.Warm++
		default:
			left := max(0, c.WantedBytes-c.PresentBytes)
			s.BytesRemaining += left
			t.remaining += left
			warm = false
			if c.State == v1alpha1.ImageFailed {
				failed = true
				s.Failed++
				t.quote(s, n.Name, c.Error)
			} else {
				going = true
				work.Remaining += left
			}
		}
	}
	if work.Remaining > 0 { // so that the node has said something; what its images share counts once
		work.Remaining, work.PerSecond = min(work.Remaining, cmp.Or(cache.Status.BytesRemaining, work.Remaining)), cache.Status.BytesPerSecond
		t.work = append(t.work, work)
	}
	t.nodes.Desired++
	t.nodes.Warm += one(warm)
	t.nodes.Failed += one(failed)
	t.going += one(going)
}

// quote keeps the failure of the first node by name: with it the status stays the same while others come and go.
func (t *tally) quote(s *v1alpha1.ImageStatus, node, text string) {
	if m := node + ": " + text; s.Message == "" || m < s.Message {
		s.Message = m
	}
	if m := s.Ref + ": " + s.Message; t.first == "" || m < t.first {
		t.first = m
	}
}

func one(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// find is what a node says of an image; nil if it does not.
func find(cache *v1alpha1.NodeCache, ref string, layers v1alpha1.Layers) *v1alpha1.CachedImage {
	if cache == nil {
		return nil
	}
	layers = cmp.Or(layers, v1alpha1.AllLayers)
	for i := range cache.Status.Images {
		if c := &cache.Status.Images[i]; c.Ref == ref && c.Layers == layers {
			return c
		}
	}
	return nil
}

func (t *tally) conditions(err error) []metav1.Condition {
	counts := fmt.Sprintf("%d images: %d of %d nodes are warm", len(t.images), t.nodes.Warm, t.nodes.Desired)
	warm := condition(v1alpha1.Warm, false, v1alpha1.ReasonPulling, counts)
	switch {
	case err != nil:
		warm.Reason, warm.Message = v1alpha1.ReasonNoNodes, err.Error()
	case len(t.images) == 0:
		warm.Reason, warm.Message = v1alpha1.ReasonNoImages, "there is nothing to warm"
	case t.nodes.Desired == 0:
		warm.Reason, warm.Message = v1alpha1.ReasonNoNodes, "no node that takes pods has these labels and no other taints"
	case t.nodes.Warm == t.nodes.Desired:
		warm.Status, warm.Reason = metav1.ConditionTrue, v1alpha1.ReasonAllWarm
	case t.nodes.Failed > 0:
		warm.Reason = v1alpha1.ReasonImageFailed
	}
	going := condition(v1alpha1.Progressing, false, v1alpha1.ReasonIdle, "nothing is under way")
	if t.going > 0 {
		going = condition(v1alpha1.Progressing, true, v1alpha1.ReasonPulling, counts)
	}
	return []metav1.Condition{warm, going, t.degraded(err)}
}

func (t *tally) degraded(err error) metav1.Condition {
	f := t.set.Spec.Fleet
	switch {
	case err != nil:
		return condition(v1alpha1.Degraded, true, v1alpha1.ReasonNoNodes, err.Error())
	case t.nodes.Failed > 0:
		return condition(v1alpha1.Degraded, true, v1alpha1.ReasonImageFailed, fmt.Sprintf("%d nodes failed: %s", t.nodes.Failed, t.first))
	case f != nil && len(f.Rejected) > 0:
		return condition(v1alpha1.Degraded, true, v1alpha1.ReasonInvalidImage, fmt.Sprintf("images of the Fleet that cannot be warmed: %q", f.Rejected))
	}
	return condition(v1alpha1.Degraded, false, v1alpha1.ReasonHealthy, "")
}

func condition(kind string, is bool, reason, message string) metav1.Condition {
	c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message}
	if is {
		c.Status = metav1.ConditionTrue
	}
	return c
}

// Difference is what a new status would tell readers.
type Difference int

// What it would tell.
const (
	Nothing Difference = iota
	// Bytes alone can wait.
	Bytes
	// Counts of nodes can wait a little.
	Counts
	// News should be written at once.
	News
)

// Compare says how two statuses differ.
func Compare(a, b v1alpha1.WarmSetStatus) Difference {
	if equality.Semantic.DeepEqual(a, b) {
		return Nothing
	}
	a, b = withoutBytes(a), withoutBytes(b)
	if equality.Semantic.DeepEqual(a, b) {
		return Bytes
	}
	if equality.Semantic.DeepEqual(withoutCounts(a), withoutCounts(b)) {
		return Counts
	}
	return News
}

func withoutBytes(s v1alpha1.WarmSetStatus) v1alpha1.WarmSetStatus {
	s = *s.DeepCopy()
	s.BytesRemaining, s.ETA = 0, nil
	for i := range s.Images {
		s.Images[i].BytesRemaining = 0
	}
	return s
}

// withoutCounts leaves what conditions are, and why.
func withoutCounts(s v1alpha1.WarmSetStatus) v1alpha1.WarmSetStatus {
	s = *s.DeepCopy()
	s.Nodes = v1alpha1.NodeCounts{}
	for i := range s.Images {
		s.Images[i] = v1alpha1.ImageStatus{Ref: s.Images[i].Ref}
	}
	for i := range s.Conditions {
		s.Conditions[i].Message = ""
	}
	return s
}
