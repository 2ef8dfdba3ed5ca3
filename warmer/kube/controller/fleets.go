package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

// fleets makes WarmSets of Fleets, and keeps those that name a Fleet as it is.
type fleets struct{ *work }

func addFleets(w *work) error {
	f := &fleets{w}
	return ctrl.NewControllerManagedBy(w.mgr).Named("fleet").
		For(&agones.Fleet{}).
		Watches(&agones.GameServerSet{}, after(w.o.Coalesce, func(_ context.Context, o client.Object) []reconcile.Request {
			return fleetOf(o.GetNamespace(), o.GetLabels()[agones.FleetLabel])
		})).
		Watches(&v1alpha1.WarmSet{}, after(0, func(_ context.Context, o client.Object) []reconcile.Request {
			if ref := o.(*v1alpha1.WarmSet).Spec.Fleet; ref != nil {
				return fleetOf(ref.Namespace, ref.Name)
			}
			return nil
		})).
		Complete(f)
}

func fleetOf(namespace, name string) []reconcile.Request {
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}}
}

// Reconcile brings the WarmSets of one Fleet up to date.
func (f *fleets) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	fleet, sets, err := f.read(ctx, r.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	gone := fleet == nil || fleet.DeletionTimestamp != nil
	var d decide.Derived
	if !gone {
		d = decide.FromFleet(fleet, f.versions(ctx, r.NamespacedName))
	}
	for i := range sets {
		if err := f.keep(ctx, &sets[i], d, gone || decide.OptedOut(fleet)); err != nil {
			return conflicted(err)
		}
	}
	if gone || decide.OptedOut(fleet) || len(sets) > 0 {
		return ctrl.Result{}, nil
	}
	return conflicted(f.derive(ctx, fleet, d))
}

// read returns no Fleet if there is none.
func (f *fleets) read(ctx context.Context, key types.NamespacedName) (*agones.Fleet, []v1alpha1.WarmSet, error) {
	all, err := f.warmSets(ctx)
	if err != nil {
		return nil, nil, err
	}
	var sets []v1alpha1.WarmSet
	for i := range all {
		if ref := all[i].Spec.Fleet; ref != nil && ref.Namespace == key.Namespace && ref.Name == key.Name {
			sets = append(sets, *all[i].DeepCopy())
		}
	}
	fleet := &agones.Fleet{}
	if err := f.Get(ctx, key, fleet); apierrors.IsNotFound(err) {
		return nil, sets, nil
	} else if err != nil {
		return nil, nil, err
	}
	return fleet, sets, nil
}

func (f *fleets) versions(ctx context.Context, key types.NamespacedName) []agones.GameServerSet {
	list := &agones.GameServerSetList{}
	if err := f.List(ctx, list, client.InNamespace(key.Namespace), client.MatchingLabels{agones.FleetLabel: key.Name}); err != nil {
		f.o.Log.Warn("gameserversets could not be read", "fleet", key.String(), "error", err)
	}
	return list.Items
}

// keep deletes a WarmSet that the controller made if its Fleet is gone; others lose their images then.
func (f *fleets) keep(ctx context.Context, s *v1alpha1.WarmSet, d decide.Derived, gone bool) error {
	if gone && s.Labels[v1alpha1.FleetNameLabel] != "" {
		return client.IgnoreNotFound(f.Delete(ctx, s, client.Preconditions{UID: &s.UID}))
	}
	rejected := len(s.Spec.Fleet.Rejected)
	if !d.Apply(&s.Spec) {
		return nil
	}
	if err := f.Update(ctx, s); err != nil {
		return err
	}
	f.complain(s, d, rejected)
	return nil
}

func (f *fleets) derive(ctx context.Context, fleet *agones.Fleet, d decide.Derived) error {
	s := &v1alpha1.WarmSet{
		ObjectMeta: metav1.ObjectMeta{Name: decide.WarmSetName(fleet.Namespace, fleet.Name), Labels: map[string]string{
			v1alpha1.FleetNamespaceLabel: fleet.Namespace, v1alpha1.FleetNameLabel: label(fleet.Name), "app.kubernetes.io/managed-by": "pitcrew",
		}},
		Spec: v1alpha1.WarmSetSpec{Fleet: &v1alpha1.FleetReference{Namespace: fleet.Namespace, Name: fleet.Name}},
	}
	d.Apply(&s.Spec)
	if err := f.Create(ctx, s); apierrors.IsAlreadyExists(err) {
		return nil // by a controller before this one, or by somebody for something else: the cache will say
	} else if err != nil {
		return err
	}
	f.events.Eventf(fleet, s, corev1.EventTypeNormal, v1alpha1.ReasonDerived, "Warm", "images are kept warm by WarmSet %s", s.Name)
	f.complain(s, d, 0)
	return nil
}

// label fits a name into a label; whose WarmSet it is, the spec says.
func label(name string) string {
	if len(name) > 63 {
		return "long"
	}
	return name
}

func (f *fleets) complain(s *v1alpha1.WarmSet, d decide.Derived, before int) {
	if len(d.Rejected) == 0 || len(d.Rejected) == before {
		return
	}
	fleet := &agones.Fleet{
		TypeMeta:   metav1.TypeMeta{APIVersion: agones.GroupVersion.String(), Kind: "Fleet"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Spec.Fleet.Namespace, Name: s.Spec.Fleet.Name},
	}
	f.events.Eventf(fleet, s, corev1.EventTypeWarning, v1alpha1.ReasonInvalidImage, "Warm", "images that cannot be warmed: %q", d.Rejected)
}
