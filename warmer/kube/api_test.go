package kube_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

func TestTheServerRefusesWhatIsWrong(t *testing.T) {
	s := kubetest.Start(t)
	images := func(refs ...string) v1alpha1.WarmSetSpec {
		var spec v1alpha1.WarmSetSpec
		for _, r := range refs {
			spec.Images = append(spec.Images, v1alpha1.WantedImage{Ref: r})
		}
		return spec
	}
	limited := func(q string) v1alpha1.WarmSetSpec {
		spec := images("r.test/stk:1")
		spec.Limits = &v1alpha1.Limits{Bandwidth: new(resource.MustParse(q))}
		return spec
	}
	kept := func(d string) v1alpha1.WarmSetSpec {
		spec := images("r.test/stk:1")
		spec.Retention = &v1alpha1.Retention{KeepFor: &metav1.Duration{}}
		var err error
		if spec.Retention.KeepFor.Duration, err = time.ParseDuration(d); err != nil {
			t.Fatal(err)
		}
		return spec
	}
	secrets := func(names ...string) v1alpha1.WarmSetSpec {
		spec := images("r.test/stk:1")
		for _, n := range names {
			spec.PullSecrets = append(spec.PullSecrets, v1alpha1.SecretReference{Namespace: "games", Name: n})
		}
		return spec
	}
	some := images("r.test/stk:1")
	some.Layers = "Some"
	urgent := images("r.test/stk:1")
	urgent.Priority = 1 << 30
	for _, c := range []struct {
		name string
		spec v1alpha1.WarmSetSpec
		want string // empty: it is taken
	}{
		{"a tag", images("r.test:5000/games/stk:1.4"), ""},
		{"a digest", images("r.test/stk@sha256:" + strings.Repeat("a", 64)), ""},
		{"a registry by its address", images("[::1]:5000/stk:1"), ""},
		{"a short name", images("stk"), ""},
		{"a limit", limited("50Mi"), ""},
		{"nothing", v1alpha1.WarmSetSpec{}, "name what shall be warm"},
		{"spaces", images("NOT ONE"), "write HOST/REPOSITORY:TAG"},
		{"half a digest", images("r.test/stk@sha256:abc"), "write HOST/REPOSITORY:TAG"},
		{"an empty one", images(""), "at least 1 chars"},
		{"the same twice", images("a", "a"), "Duplicate value"},
		{"unknown layers", some, `supported values: "All", "Assets"`},
		{"too urgent", urgent, "less than or equal to 1000000"},
		{"a retention", kept("36h"), ""},
		{"no retention to speak of", kept("0s"), "keepFor has to be 1s to 8760h"},
		{"a retention below nothing", kept("-1h"), "keepFor has to be 1s to 8760h"},
		{"a retention for ever", kept("8761h"), "keepFor has to be 1s to 8760h"},
		{"pull secrets", secrets("a", "b"), ""},
		{"a pull secret without a name", secrets(""), "at least 1 chars"},
		{"the same pull secret twice", secrets("a", "a"), "Duplicate value"},
		{"no bandwidth at all", limited("0"), "bandwidth has to be more than nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := s.Create(t.Context(), &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{GenerateName: "s-"}, Spec: c.spec})
			switch {
			case c.want == "" && err != nil:
				t.Errorf("it was refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("it was answered with %v, want %q", err, c.want)
			}
		})
	}
	t.Run("a retention that is no duration", func(t *testing.T) {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"images": []any{map[string]any{"ref": "r.test/stk:1"}}, "retention": map[string]any{"keepFor": "1 day"},
		}}}
		u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WarmSet"))
		u.SetName("day")
		if err := s.Create(t.Context(), u); err == nil || !strings.Contains(err.Error(), "keepFor") {
			t.Errorf("it was answered with %v, want a refusal: one that cannot be read would keep agents from reading all others", err)
		}
	})
	t.Run("another Fleet", func(t *testing.T) {
		set := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Spec: v1alpha1.WarmSetSpec{Fleet: &v1alpha1.FleetReference{Namespace: "n", Name: "f"}}}
		if err := s.Create(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		if set.Spec.Pin == nil || !*set.Spec.Pin || set.Spec.Layers != v1alpha1.AllLayers {
			t.Errorf("defaults are pin %v and layers %q", set.Spec.Pin, set.Spec.Layers)
		}
		moved, without := set.DeepCopy(), set.DeepCopy()
		moved.Spec.Fleet.Name = "other"
		without.Spec.Fleet, without.Spec.Images = nil, some.Images
		for _, changed := range []*v1alpha1.WarmSet{moved, without} {
			if err := s.Update(t.Context(), changed); err == nil || !strings.Contains(err.Error(), "make another WarmSet") {
				t.Errorf("it was answered with %v, want a refusal", err)
			}
		}
	})
}

func TestWhatKubectlGetShows(t *testing.T) {
	s := kubetest.Start(t)
	set := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: v1alpha1.WarmSetSpec{Images: []v1alpha1.WantedImage{{Ref: "r.test/stk:1"}}}}
	if err := s.Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	set.Status = v1alpha1.WarmSetStatus{
		Nodes: v1alpha1.NodeCounts{Desired: 3, Warm: 2, Failed: 1}, BytesRemaining: 700, ETA: &metav1.Duration{Duration: 90 * time.Second},
		Conditions: []metav1.Condition{{Type: v1alpha1.Warm, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPulling, LastTransitionTime: metav1.Now()}},
	}
	if err := s.Status().Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	web, err := rest.HTTPClientFor(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer web.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Config().Host+"/apis/pitcrew.dev/v1alpha1/warmsets", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var table metav1.Table
	if err := json.NewDecoder(resp.Body).Decode(&table); err != nil || len(table.Rows) != 1 {
		t.Fatalf("table with %d rows: %v", len(table.Rows), err)
	}
	got := map[string]string{}
	for i, c := range table.ColumnDefinitions {
		got[c.Name] = fmt.Sprint(table.Rows[0].Cells[i])
	}
	delete(got, "Age")
	want := map[string]string{
		"Name": "s", "Desired": "3", "Warm": "2", "Failed": "1", "Remaining": "700", "ETA": "1m30s", "Ready": "False", "Reason": v1alpha1.ReasonPulling, "Fleet": "<nil>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}
