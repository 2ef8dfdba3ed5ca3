package controller

import (
	"context"
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
)

// work is what all reconcilers share.
type work struct {
	client.Client
	mgr    ctrl.Manager
	events events.EventRecorder
	o      Options
	agones atomic.Int32
}

// What is known of Agones.
const (
	unknown int32 = iota
	missing
	present
)

// conflicted makes a conflict a matter of another try: the cache is behind, and will be told.
func conflicted(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
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
