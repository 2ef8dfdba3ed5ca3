package controller

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

// sets sums up what nodes say in the status of WarmSets.
type sets struct {
	*work
	mu      sync.Mutex
	written map[types.UID]time.Time
}

func addSets(w *work) error {
	s := &sets{work: w, written: map[types.UID]time.Time{}}
	every := func(ctx context.Context, _ client.Object) []reconcile.Request { return s.every(ctx) }
	return ctrl.NewControllerManagedBy(w.mgr).Named("warmset").
		For(&v1alpha1.WarmSet{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.NodeCache{}, after(w.o.Coalesce, every), builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		Watches(&corev1.Node{}, after(w.o.Coalesce, every), builder.WithPredicates(choice)).
		Complete(s)
}

// choice passes changes of nodes that WarmSets may choose them by.
var choice = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	a, b := e.ObjectOld.(*corev1.Node), e.ObjectNew.(*corev1.Node)
	return decide.TakesPods(a) != decide.TakesPods(b) || !equality.Semantic.DeepEqual(a.Labels, b.Labels) || !equality.Semantic.DeepEqual(a.Spec.Taints, b.Spec.Taints)
}}

func (s *sets) every(ctx context.Context) []reconcile.Request {
	all, err := s.warmSets(ctx)
	if err != nil {
		return nil // the cache is ending
	}
	out := make([]reconcile.Request, len(all))
	for i := range all {
		out[i] = named(all[i].Name)
	}
	return out
}

// Reconcile writes a status that changed; one in which only bytes did waits its turn.
func (s *sets) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	set := &v1alpha1.WarmSet{}
	if err := s.Get(ctx, r.NamespacedName, set); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	now, err := s.sum(ctx, set)
	if err != nil {
		return ctrl.Result{}, err
	}
	was := set.Status
	switch decide.Compare(was, now) {
	case decide.Nothing:
		return ctrl.Result{}, nil
	case decide.Bytes:
		if wait := s.o.Bytes - time.Since(s.last(set.UID)); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
	case decide.News:
	}
	set.Status = now
	if err := s.Status().Update(ctx, set); err != nil {
		return conflicted(err)
	}
	s.wrote(set.UID)
	s.tell(set, was)
	return ctrl.Result{}, nil
}

func (s *sets) sum(ctx context.Context, set *v1alpha1.WarmSet) (v1alpha1.WarmSetStatus, error) {
	nodes, list := &corev1.NodeList{}, &v1alpha1.NodeCacheList{}
	if err := s.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return v1alpha1.WarmSetStatus{}, err
	}
	if err := s.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return v1alpha1.WarmSetStatus{}, err
	}
	caches := make(map[string]*v1alpha1.NodeCache, len(list.Items))
	for i := range list.Items {
		caches[list.Items[i].Name] = &list.Items[i]
	}
	return decide.Status(set, nodes.Items, caches), nil
}

func (s *sets) last(id types.UID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written[id]
}

// wrote remembers when, and forgets what was long ago.
func (s *sets) wrote(id types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, at := range s.written {
		if time.Since(at) > 2*s.o.Bytes {
			delete(s.written, other)
		}
	}
	s.written[id] = time.Now()
}

// tell makes events of conditions whose reason changed.
func (s *sets) tell(set *v1alpha1.WarmSet, was v1alpha1.WarmSetStatus) {
	for _, kind := range []string{v1alpha1.Warm, v1alpha1.Degraded} {
		now, before := meta.FindStatusCondition(set.Status.Conditions, kind), meta.FindStatusCondition(was.Conditions, kind)
		if before != nil && before.Reason == now.Reason {
			continue
		}
		switch now.Reason {
		case v1alpha1.ReasonAllWarm:
			s.events.Eventf(set, nil, corev1.EventTypeNormal, now.Reason, "Warm", "%s", now.Message)
		case v1alpha1.ReasonNoNodes, v1alpha1.ReasonNoImages, v1alpha1.ReasonInvalidImage:
			s.events.Eventf(set, nil, corev1.EventTypeWarning, now.Reason, "Warm", "%s", now.Message)
		case v1alpha1.ReasonImageFailed:
			if kind == v1alpha1.Degraded {
				s.events.Eventf(set, nil, corev1.EventTypeWarning, now.Reason, "Warm", "%s", now.Message)
			}
		}
	}
}
