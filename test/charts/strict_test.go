package charts_test

import (
	"fmt"
	"os"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/pitcrew-dev/pitcrew/test/charts/agonesapi"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

// known are the types of everything that the charts render.
func known(t testing.TB) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, apiextensionsv1.AddToScheme, monitoringv1.AddToScheme, agonesapi.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// typed decodes an object into its type, and refuses what that does not know.
func typed(t testing.TB, s *runtime.Scheme, o *unstructured.Unstructured) (runtime.Object, error) {
	t.Helper()
	raw, err := yaml.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	strict := serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer()
	out, _, err := strict.Decode(raw, nil, nil)
	return out, err
}

// as decodes the object of a kind and name.
func as[T any](t testing.TB, r *release, kind, name string) *T {
	t.Helper()
	o, err := typed(t, known(t), r.find(t, kind, name))
	if err != nil {
		t.Fatal(err)
	}
	out, ok := o.(any).(*T)
	if !ok {
		t.Fatalf("%s %s is a %T", kind, name, o)
	}
	return out
}

// every calls f with what each case renders, the defaults among them.
func every(t *testing.T, f func(t *testing.T, name string, r *release)) {
	t.Helper()
	for name, cases := range switches {
		for _, c := range append([]switched{{"defaults", ""}}, cases...) {
			t.Run(name+"/"+c.name, func(t *testing.T) { f(t, name, render(t, name, c.values)) })
		}
	}
}

func TestManifestsHaveOnlyWhatTheirTypesHave(t *testing.T) {
	s := known(t)
	every(t, func(t *testing.T, _ string, r *release) {
		t.Helper()
		seen := map[string]bool{}
		for _, o := range r.objects {
			if _, err := typed(t, s, o); err != nil {
				t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
			}
			key := o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()
			if seen[key] {
				t.Errorf("%s comes twice", key)
			}
			seen[key] = true
		}
	})
	t.Run("and a wrong one is noticed", func(t *testing.T) {
		for _, text := range []string{
			"apiVersion: apps/v1\nkind: DaemonSet\nspec: {template: {spec: {containers: [{name: a, restart: Always}]}}}",
			"apiVersion: agones.dev/v1\nkind: Fleet\nspec: {replica: 1}",
			"apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nvalue: 1.5",
		} {
			objects, err := decode(text)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := typed(t, s, objects[0]); err == nil {
				t.Errorf("no error from\n%s", text)
			}
		}
	})
}

func TestTheAllocationIsOne(t *testing.T) {
	raw, err := os.ReadFile(dir(stk) + "/files/allocation.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decode(string(raw))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	o, err := typed(t, known(t), objects[0])
	if err != nil {
		t.Fatal(err)
	}
	a := o.(*agonesapi.GameServerAllocation)
	for i, s := range a.Spec.Selectors {
		if s.MatchLabels[agones.FleetLabel] == "" {
			t.Errorf("selector %d chooses no Fleet", i)
		}
	}
	lists := as[agonesapi.Fleet](t, render(t, stk), "Fleet", "r").Spec.Template.Spec.Lists
	for name := range a.Spec.Lists {
		if _, ok := lists[name]; !ok {
			t.Errorf("the Fleet has no list %s", name)
		}
	}
}

// crd is one of ours, as the chart installs it.
func crd(t *testing.T, name string) *apiextensions.CustomResourceDefinition {
	t.Helper()
	v1 := as[apiextensionsv1.CustomResourceDefinition](t, render(t, pitcrew), "CustomResourceDefinition", name)
	out := &apiextensions.CustomResourceDefinition{}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(v1, out, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

func structural(t *testing.T, name string) (*schema.Structural, *apiextensions.CustomResourceValidation) {
	t.Helper()
	c := crd(t, name)
	v := c.Spec.Validation
	if v == nil {
		v = c.Spec.Versions[0].Schema
	}
	s, err := schema.NewStructural(v.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	if errs := schema.ValidateStructural(nil, s); len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	return s, v
}

func TestCRDsAreStructural(t *testing.T) {
	structural(t, "warmsets.pitcrew.dev")
	structural(t, "nodecaches.pitcrew.dev")
}

// What the controller makes of the charts' Fleets is what our CRD takes.
func TestTheFleetsHaveWarmSets(t *testing.T) {
	s, v := structural(t, "warmsets.pitcrew.dev")
	validator, _, err := validation.NewSchemaValidator(v.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	rules := cel.NewValidator(s, true, celconfig.PerCallLimit)
	check := func(o object) error {
		if unknown := pruning.PruneWithOptions(runtime.DeepCopyJSON(o), s, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}); len(unknown) > 0 {
			return fmt.Errorf("unknown: %v", unknown)
		}
		errs := validation.ValidateCustomResource(nil, o, validator)
		more, _ := rules.Validate(t.Context(), nil, s, o, nil, celconfig.RuntimeCELCostBudget)
		return append(errs, more...).ToAggregate()
	}
	for _, c := range append([]switched{{"defaults", ""}}, switches[stk]...) {
		t.Run(c.name, func(t *testing.T) {
			r := render(t, stk, c.values)
			var fleet agones.Fleet
			for _, o := range r.objects {
				if o.GetKind() == "Fleet" {
					if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &fleet); err != nil {
						t.Fatal(err)
					}
				}
			}
			derived := decide.FromFleet(&fleet, nil)
			if len(derived.Rejected) > 0 {
				t.Errorf("the controller rejects %v", derived.Rejected)
			}
			if len(derived.Images) < 2 {
				t.Errorf("only %v shall be warm", derived.Images)
			}
			set := &v1alpha1.WarmSet{Spec: v1alpha1.WarmSetSpec{Images: derived.Images, Fleet: &v1alpha1.FleetReference{Namespace: "ns", Name: fleet.Name}}}
			set.APIVersion, set.Kind, set.Name = "pitcrew.dev/v1alpha1", "WarmSet", "ns."+fleet.Name
			o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(set)
			if err != nil {
				t.Fatal(err)
			}
			delete(o, "status")
			if err := check(o); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("and a wrong one is noticed", func(t *testing.T) {
		for _, spec := range []object{{}, {"images": []any{object{"reff": "a"}}}, {"images": []any{object{"ref": "a"}}, "priority": int64(1e9)}} {
			if err := check(object{"apiVersion": "pitcrew.dev/v1alpha1", "kind": "WarmSet", "metadata": object{"name": "a"}, "spec": spec}); err == nil {
				t.Errorf("no error from %v", spec)
			}
		}
	})
}
