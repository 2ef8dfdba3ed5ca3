package controller

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

// work is what all reconcilers share.
type work struct {
	client.Client
	mgr    ctrl.Manager
	events events.EventRecorder
	o      Options
	agones atomic.Int32

	mu      sync.Mutex
	choices map[types.UID]chosen
}

// chosen is what a generation of a WarmSet comes to: a thousand nodes are compared with it.
type chosen struct {
	generation int64
	decide.Choice
}

// What is known of Agones.
const (
	unknown int32 = iota
	missing
	present
)

// conflicted makes another try of what was done by somebody else meanwhile: the cache is behind, and will be told.
func conflicted(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return ctrl.Result{RequeueAfter: 50 * time.Millisecond}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// warmSets are all of them, to be read only.
func (w *work) warmSets(ctx context.Context) ([]v1alpha1.WarmSet, error) {
	list := &v1alpha1.WarmSetList{}
	err := w.List(ctx, list, client.UnsafeDisableDeepCopy)
	return list.Items, err
}

// prepare readies WarmSets, which are all of them, for being compared with nodes.
func (w *work) prepare(all []v1alpha1.WarmSet) []decide.Set {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.choices
	w.choices = make(map[types.UID]chosen, len(all))
	out := make([]decide.Set, len(all))
	for i := range all {
		s := &all[i]
		c, ok := known[s.UID]
		if !ok || c.generation != s.Generation {
			c = chosen{s.Generation, decide.Choose(&s.Spec)}
		}
		w.choices[s.UID] = c
		out[i] = decide.Set{WarmSet: s, Choice: c.Choice}
	}
	return out
}

// named is a request for a cluster-scoped object.
func named(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// after calls f for every event about objects, old and new, and has what it names reconciled after a while: what happens
// within it is reconciled once.
func after(delay time.Duration, f func(context.Context, client.Object) []reconcile.Request) handler.EventHandler {
	add := func(ctx context.Context, q queue, o client.Object) {
		for _, r := range f(ctx, o) {
			q.AddAfter(r, delay)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { add(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			add(ctx, q, e.ObjectOld)
			add(ctx, q, e.ObjectNew)
		},
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q queue) { add(ctx, q, e.Object) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q queue) { add(ctx, q, e.Object) },
	}
}
