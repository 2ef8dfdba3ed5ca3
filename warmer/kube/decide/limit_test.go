package decide_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

func TestLimited(t *testing.T) {
	a, b := node("a"), node("b")
	a.Labels = map[string]string{"pool": "a"}
	limited := func(name, limit, pool string) v1alpha1.WarmSet {
		s := set("game:1")
		s.Name = name
		if limit != "" {
			s.Spec.Limits = &v1alpha1.Limits{Bandwidth: new(resource.MustParse(limit))}
		}
		if pool != "" {
			s.Spec.NodeSelector = map[string]string{"pool": pool}
		}
		return *s
	}
	for _, c := range []struct {
		name   string
		set    v1alpha1.WarmSet
		others []v1alpha1.WarmSet
		want   string // reason and message of the condition
	}{
		{"alone", limited("s", "10Mi", ""), nil, ""},
		{"without a limit", limited("s", "", ""), []v1alpha1.WarmSet{limited("o", "5Mi", "")}, ""},
		{"the other has none", limited("s", "10Mi", ""), []v1alpha1.WarmSet{limited("o", "", "")}, ""},
		{"the other's is higher", limited("s", "10Mi", ""), []v1alpha1.WarmSet{limited("o", "20Mi", "")}, ""},
		{"the same", limited("s", "10Mi", ""), []v1alpha1.WarmSet{limited("o", "10240Ki", "")}, ""},
		{"the other's is lower", limited("s", "10Mi", ""), []v1alpha1.WarmSet{limited("o", "5Mi", "")}, "LowerLimit: WarmSet o applies to some of the nodes, too, and has a lower limit, which holds there: 5Mi instead of 10Mi bytes a second"},
		{"on other nodes", limited("s", "10Mi", "none"), []v1alpha1.WarmSet{limited("o", "5Mi", "a")}, ""},
		{"on one node of two", limited("s", "10Mi", ""), []v1alpha1.WarmSet{limited("o", "5Mi", "a")}, "LowerLimit: WarmSet o applies to some of the nodes, too, and has a lower limit, which holds there: 5Mi instead of 10Mi bytes a second"},
		{"the lowest of several, the first by name", limited("s", "10Mi", ""), []v1alpha1.WarmSet{limited("p", "2Mi", ""), limited("o", "2Mi", ""), limited("n", "5Mi", "")}, "LowerLimit: WarmSet o applies to some of the nodes, too, and has a lower limit, which holds there: 2Mi instead of 10Mi bytes a second"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := prepared(append(c.others, c.set))
			own := all[len(c.others)]
			nodes := []corev1.Node{a, b}
			status := decide.Status(own, nodes, nil)
			decide.Limited(&status, own, all, nodes)
			got := ""
			if x := meta.FindStatusCondition(status.Conditions, v1alpha1.Limited); x != nil {
				got = x.Reason + ": " + x.Message
			}
			if got != c.want {
				t.Errorf("Limited = %q, want %q", got, c.want)
			}
			decide.Limited(&status, own, []decide.Set{own}, nodes) // the others have gone
			if x := meta.FindStatusCondition(status.Conditions, v1alpha1.Limited); (x != nil) != (c.want != "") || x != nil && x.Reason != v1alpha1.ReasonHealthy {
				t.Errorf("afterwards the condition is %+v", x)
			}
		})
	}
}
