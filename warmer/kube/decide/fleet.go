package decide

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
)

// What the CRD allows.
const (
	maxImages   = 128
	maxRejected = 16
	maxQuoted   = 256
	maxSecrets  = 16
)

// Derived is what a WarmSet takes over from its Fleet.
type Derived struct {
	Images       []v1alpha1.WantedImage
	Rejected     []string
	NodeSelector map[string]string
	NodeAffinity *corev1.NodeSelector
	Tolerations  []corev1.Toleration
	PullSecrets  []v1alpha1.SecretReference
}

// FromFleet says what a Fleet needs: the images of its template, of its [v1alpha1.NextImageAnnotation], and of those of
// its GameServerSets that have servers, in this order, and with which secrets they are pulled. Those that are no references, or too many, are rejected.
func FromFleet(f *agones.Fleet, sets []agones.GameServerSet) Derived {
	pod := &f.Spec.Template.Spec.Template.Spec
	refs := append(images(pod), Announced(f)...)
	secrets := slices.Clone(pod.ImagePullSecrets)
	sets = slices.Clone(sets)
	slices.SortFunc(sets, func(a, b agones.GameServerSet) int {
		if c := b.CreationTimestamp.Compare(a.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	for i := range sets {
		if sets[i].Status.Replicas > 0 {
			older := &sets[i].Spec.Template.Spec.Template.Spec
			refs = append(refs, images(older)...)
			secrets = append(secrets, older.ImagePullSecrets...)
		}
	}
	d := Derived{NodeSelector: withoutWarm(pod.NodeSelector), Tolerations: pod.Tolerations}
	if a := pod.Affinity; a != nil && a.NodeAffinity != nil {
		d.NodeAffinity = affinityWithoutWarm(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
	}
	d.sort(refs)
	d.secrets(f.Namespace, secrets)
	return d
}

// withoutWarm leaves out the labels of nodes that are warm: pods that ask for them want what the WarmSet is to bring about.
func withoutWarm(selector map[string]string) map[string]string {
	var out map[string]string
	for k, v := range selector {
		if strings.HasPrefix(k, v1alpha1.WarmLabelPrefix) {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[k] = v
	}
	return out
}

func affinityWithoutWarm(s *corev1.NodeSelector) *corev1.NodeSelector {
	if s == nil {
		return nil
	}
	s = s.DeepCopy()
	for i := range s.NodeSelectorTerms {
		t := &s.NodeSelectorTerms[i]
		before := len(t.MatchExpressions)
		t.MatchExpressions = slices.DeleteFunc(t.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool {
			return strings.HasPrefix(r.Key, v1alpha1.WarmLabelPrefix)
		})
		if before > 0 && len(t.MatchExpressions)+len(t.MatchFields) == 0 { // terms are alternatives, and this one is no condition any more
			return nil
		}
	}
	return s
}

func (d *Derived) secrets(namespace string, names []corev1.LocalObjectReference) {
	for _, n := range names {
		s := v1alpha1.SecretReference{Namespace: namespace, Name: n.Name}
		if n.Name != "" && len(d.PullSecrets) < maxSecrets && !slices.Contains(d.PullSecrets, s) {
			d.PullSecrets = append(d.PullSecrets, s)
		}
	}
}

// Announced are the images of the next version.
func Announced(f *agones.Fleet) []string {
	var out []string
	for s := range strings.SplitSeq(f.Annotations[v1alpha1.NextImageAnnotation], ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// Current are the images of the Fleet's template.
func Current(f *agones.Fleet) []string { return images(&f.Spec.Template.Spec.Template.Spec) }

func images(pod *corev1.PodSpec) []string {
	var out []string
	for i := range pod.InitContainers {
		out = append(out, pod.InitContainers[i].Image)
	}
	for i := range pod.Containers {
		out = append(out, pod.Containers[i].Image)
	}
	for i := range pod.Volumes {
		if v := pod.Volumes[i].Image; v != nil {
			out = append(out, v.Reference)
		}
	}
	return out
}

// sort tells usable references from others, and drops what comes twice.
func (d *Derived) sort(refs []string) {
	seen := map[string]bool{}
	for _, ref := range refs {
		full, ok := Normal(ref)
		switch {
		case seen[full] || ref == "":
			continue
		case !ok || len(d.Images) == maxImages:
			d.reject(ref)
		default:
			d.Images = append(d.Images, v1alpha1.WantedImage{Ref: ref})
		}
		seen[full] = true
	}
}

func (d *Derived) reject(ref string) {
	if len(d.Rejected) < maxRejected {
		d.Rejected = append(d.Rejected, strings.ToValidUTF8(ref[:min(len(ref), maxQuoted)], "?"))
	}
}

// allowed is what the CRD's rule lets pass.
var allowed = regexp.MustCompile(`^[a-zA-Z0-9\[][a-zA-Z0-9._:/\[\]-]*(@sha256:[0-9a-f]{64})?$`)

// Normal is a reference in full, and whether it is one.
func Normal(ref string) (string, bool) {
	r, err := warmer.ParseReference(ref)
	if err != nil || len(ref) > 512 || !allowed.MatchString(ref) {
		return ref, false
	}
	return r.String(), true
}

// Apply takes over d into a spec and says whether that changed it.
func (d Derived) Apply(spec *v1alpha1.WarmSetSpec) bool {
	before := spec.DeepCopy()
	spec.Images, spec.NodeSelector, spec.NodeAffinity, spec.Tolerations = d.Images, d.NodeSelector, d.NodeAffinity, d.Tolerations
	spec.PullSecrets, spec.Fleet.Rejected = d.PullSecrets, d.Rejected
	return !equality.Semantic.DeepEqual(before, spec)
}

// WarmSetName is that of the WarmSet that is made of a Fleet. A namespace has no dots, so that no two Fleets share one.
func WarmSetName(namespace, fleet string) string {
	name := namespace + "." + fleet
	if len(name) <= 253 {
		return name
	}
	return name[:236] + "-" + short(name)
}

// WarmLabel is the label of nodes where all of a WarmSet is warm.
func WarmLabel(set string) string {
	const most = 63 - len("warm-")
	if len(set) > most {
		set = strings.TrimRight(set[:most-17], "-.") + "-" + short(set)
	}
	return v1alpha1.WarmLabelPrefix + set
}

func short(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:16] }

// OptedOut says that no WarmSet shall be made of a Fleet.
func OptedOut(f *agones.Fleet) bool { return f.Annotations[v1alpha1.WarmAnnotation] == "false" }
