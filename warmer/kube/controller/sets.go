package controller

import (
	"context"
	"errors"
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
	every := func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{{}} }
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

// Reconcile sums up one WarmSet, or all of them where a request has no name: a node may matter to any.
func (s *sets) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	all, err := s.warmSets(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	nodes, caches, err := s.look(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	var again time.Duration
	var faults []error
	prepared := s.prepare(all)
	for _, set := range prepared {
		if r.Name != "" && r.Name != set.Name {
			continue
		}
		status := decide.Status(set, nodes, caches)
		decide.Limited(&status, set, prepared, nodes)
		result, err := s.sum(ctx, set, status)
		faults = append(faults, err)
		if wait := result.RequeueAfter; wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
	}
	return ctrl.Result{RequeueAfter: again}, errors.Join(faults...)
}

// sum writes a status that changed; one in which only counts or bytes did waits its turn.
func (s *sets) sum(ctx context.Context, set decide.Set, now v1alpha1.WarmSetStatus) (reconcile.Result, error) {
	wait := time.Duration(0)
	switch decide.Compare(set.Status, now) {
	case decide.Nothing:
		return ctrl.Result{}, nil
	case decide.Bytes:
		wait = s.o.Bytes
	case decide.Counts:
		wait = s.o.Counts
	case decide.News:
	}
	if wait -= time.Since(s.last(set.UID)); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	was, next := set.Status, set.DeepCopy()
	next.Status = now
	if err := s.Status().Update(ctx, next); err != nil {
		return conflicted(err)
	}
	s.wrote(set.UID)
	s.tell(next, was)
	return ctrl.Result{}, nil
}

// look gives what is known of nodes, to be read only.
func (s *sets) look(ctx context.Context) ([]corev1.Node, map[string]*v1alpha1.NodeCache, error) {
	nodes, list := &corev1.NodeList{}, &v1alpha1.NodeCacheList{}
	if err := s.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, err
	}
	if err := s.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, err
	}
	caches := make(map[string]*v1alpha1.NodeCache, len(list.Items))
	for i := range list.Items {
		caches[list.Items[i].Name] = &list.Items[i]
	}
	return nodes.Items, caches, nil
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
	for _, kind := range []string{v1alpha1.Warm, v1alpha1.Degraded, v1alpha1.Limited} {
		now, before := meta.FindStatusCondition(set.Status.Conditions, kind), meta.FindStatusCondition(was.Conditions, kind)
		if now == nil || before != nil && before.Reason == now.Reason {
			continue
		}
		switch now.Reason {
		case v1alpha1.ReasonAllWarm:
			s.events.Eventf(set, nil, corev1.EventTypeNormal, now.Reason, "Warm", "%s", now.Message)
		case v1alpha1.ReasonNoNodes, v1alpha1.ReasonNoImages, v1alpha1.ReasonInvalidImage, v1alpha1.ReasonLowerLimit:
			s.events.Eventf(set, nil, corev1.EventTypeWarning, now.Reason, "Warm", "%s", now.Message)
		case v1alpha1.ReasonImageFailed:
			if kind == v1alpha1.Degraded {
				s.events.Eventf(set, nil, corev1.EventTypeWarning, now.Reason, "Warm", "%s", now.Message)
			}
		}
	}
}
