package controller

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

// Of labels so many are written per second, and at once: a label of a thousand nodes shall not hold up anything else.
const (
	labelsPerSecond = 100
	labelPause      = time.Second
)

// nodes labels nodes and takes their startup taint away.
type nodes struct {
	*work
	labels *rate.Limiter
}

func addNodes(w *work) error {
	n := &nodes{w, rate.NewLimiter(labelsPerSecond, labelsPerSecond)}
	return ctrl.NewControllerManagedBy(w.mgr).Named("node").
		For(&corev1.Node{}, builder.WithPredicates(choice)).
		Watches(&v1alpha1.NodeCache{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		Watches(&v1alpha1.WarmSet{}, after(w.o.Coalesce, func(ctx context.Context, _ client.Object) []reconcile.Request { return n.every(ctx) }), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(n)
}

func (n *nodes) every(ctx context.Context) []reconcile.Request {
	list := &corev1.NodeList{}
	if err := n.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil // the cache is ending
	}
	out := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		out[i] = named(list.Items[i].Name)
	}
	return out
}

// Reconcile patches a node's labels and taints if they should change.
func (n *nodes) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	node, cache := &corev1.Node{}, &v1alpha1.NodeCache{}
	if err := n.Get(ctx, r.NamespacedName, node); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if err := n.Get(ctx, r.NamespacedName, cache); apierrors.IsNotFound(err) {
		cache = nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	sets, err := n.warmSets(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	settled := false // which matters to none but cold nodes
	if decide.Cold(node) {
		if settled, err = n.settled(ctx, sets); err != nil {
			return ctrl.Result{}, err
		}
	}
	before := node.DeepCopy()
	changed, thawed := decide.Node(node, cache, n.prepare(sets), settled)
	if changed && !thawed && !n.labels.Allow() {
		return ctrl.Result{RequeueAfter: labelPause/2 + rand.N(labelPause)}, nil
	}
	if changed {
		// The lock is for the taints, which a patch replaces as a whole.
		if err := n.Patch(ctx, node, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return conflicted(err)
		}
	}
	if thawed {
		n.events.Eventf(node, nil, corev1.EventTypeNormal, v1alpha1.ReasonNodeWarm, "RemoveTaint", "every image that applies is warm: removed taint %s", v1alpha1.ColdTaint)
	}
	if !settled && decide.Cold(node) {
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	return ctrl.Result{}, nil
}

// settled says that every Fleet has its WarmSet, or cannot have one because the name is taken.
func (n *nodes) settled(ctx context.Context, sets []v1alpha1.WarmSet) (bool, error) {
	switch n.agones.Load() {
	case unknown:
		return false, nil
	case missing:
		return true, nil
	}
	fleets := &agones.FleetList{}
	if err := n.List(ctx, fleets, client.UnsafeDisableDeepCopy); err != nil {
		return false, err
	}
	has := map[string]bool{}
	for i := range sets {
		has[sets[i].Name] = true
		if f := sets[i].Spec.Fleet; f != nil {
			has[f.Namespace+"/"+f.Name] = true
		}
	}
	for i := range fleets.Items {
		if f := &fleets.Items[i]; !decide.OptedOut(f) && !has[f.Namespace+"/"+f.Name] && !has[decide.WarmSetName(f.Namespace, f.Name)] {
			return false, nil
		}
	}
	return true, nil
}
