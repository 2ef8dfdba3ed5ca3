package gate_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/gate"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		text  string
		fleet bool
		name  string
		ok    bool
	}{
		{"fleet/stk", true, "stk", true},
		{"warmset/stk", false, "stk", true},
		{"ws/stk", false, "stk", true},
		{"stk", false, "", false},
		{"fleet/", false, "", false},
		{"pod/stk", false, "", false},
		{"fleet/a/b", false, "", false},
	} {
		fleet, name, err := gate.ParseTarget(c.text)
		if fleet != c.fleet || name != c.name || (err == nil) != c.ok {
			t.Errorf("ParseTarget(%q) = %t, %q, %v", c.text, fleet, name, err)
		}
	}
}

func TestJudge(t *testing.T) {
	status := func(ref string, desired, warm int32) v1alpha1.ImageStatus {
		return v1alpha1.ImageStatus{Ref: ref, NodeCounts: v1alpha1.NodeCounts{Desired: desired, Warm: warm}}
	}
	set := func(desired int32, images ...v1alpha1.ImageStatus) *v1alpha1.WarmSet {
		s := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
		s.Status = v1alpha1.WarmSetStatus{ObservedGeneration: 2, Images: images}
		s.Status.Nodes.Desired = desired
		for _, i := range images {
			s.Spec.Images = append(s.Spec.Images, v1alpha1.WantedImage{Ref: i.Ref})
		}
		return s
	}
	old := set(2, status("r.test/a:1", 2, 2))
	old.Status.ObservedGeneration = 1
	for _, c := range []struct {
		name    string
		set     *v1alpha1.WarmSet
		refs    []string
		percent int
		empty   bool
		done    bool
		message string
	}{
		{"all warm", set(2, status("r.test/a:1", 2, 2)), nil, 100, false, true, ""},
		{"one of two nodes", set(2, status("r.test/a:1", 2, 1)), nil, 100, false, false, ""},
		{"one of two is half", set(2, status("r.test/a:1", 2, 1)), nil, 50, false, true, ""},
		{"66 percent is not 67", set(3, status("r.test/a:1", 3, 2)), nil, 67, false, false, ""},
		{"one of two images", set(2, status("r.test/a:1", 2, 2), status("r.test/b:1", 2, 0)), nil, 100, false, false, ""},
		{"the other one does not count", set(2, status("r.test/a:1", 2, 2), status("r.test/b:1", 2, 0)), []string{"r.test/a:1"}, 100, false, true, ""},
		{"an image by another name", set(2, status("stk", 2, 2)), []string{"docker.io/library/stk:latest"}, 100, false, true, ""},
		{"an image that nobody announced", set(2, status("r.test/a:1", 2, 2)), []string{"r.test/a:2"}, 100, false, false, "announce it"},
		{"what was said of an earlier version does not count", old, nil, 100, false, false, "has not seen"},
		{"no node", set(0, status("r.test/a:1", 0, 0)), nil, 100, false, false, "no node matches"},
		{"no node, which is all right", set(0, status("r.test/a:1", 0, 0)), nil, 100, true, true, "no node matches"},
		{"no image", set(1), nil, 100, true, false, "no image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := gate.Judge(c.set, c.refs, c.percent, c.empty)
			if got.Done != c.done || !strings.Contains(got.Message, c.message) {
				t.Errorf("Judge = %+v, want done %t and message %q", got, c.done, c.message)
			}
		})
	}
}
