package controller

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

const nodeIndex = "status.nodeName"

// players tells agents how many are on their node.
type players struct {
	*work
	mu      sync.Mutex
	written map[string]time.Time
}

func addPlayers(ctx context.Context, w *work) error {
	err := w.mgr.GetFieldIndexer().IndexField(ctx, &agones.GameServer{}, nodeIndex, func(o client.Object) []string {
		return []string{o.(*agones.GameServer).Status.NodeName}
	})
	if err != nil {
		return err
	}
	p := &players{work: w, written: map[string]time.Time{}}
	return ctrl.NewControllerManagedBy(w.mgr).Named("players").
		For(&v1alpha1.NodeCache{}).
		Watches(&agones.GameServer{}, after(w.o.Coalesce, func(_ context.Context, o client.Object) []reconcile.Request {
			if n := o.(*agones.GameServer).Status.NodeName; n != "" {
				return []reconcile.Request{named(n)}
			}
			return nil
		})).
		Complete(p)
}

// Reconcile writes a node's players. The first and the last one count at once; in between the agent does the same whatever
// the number is, and it may be late.
func (p *players) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	cache, servers := &v1alpha1.NodeCache{}, &agones.GameServerList{}
	if err := p.Get(ctx, r.NamespacedName, cache); apierrors.IsNotFound(err) {
		p.mu.Lock()
		delete(p.written, r.Name) // nodes come and go for as long as this runs
		p.mu.Unlock()
		return ctrl.Result{}, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	if err := p.List(ctx, servers, client.MatchingFields{nodeIndex: r.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return ctrl.Result{}, err
	}
	now, was := decide.Players(servers.Items), cache.Spec.Players
	if now == was {
		return ctrl.Result{}, nil
	}
	p.mu.Lock()
	last := p.written[r.Name]
	p.mu.Unlock()
	if wait := p.o.Players - time.Since(last); wait > 0 && now > 0 && was > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	before := cache.DeepCopy()
	cache.Spec.Players = now
	if err := p.Patch(ctx, cache, client.MergeFrom(before)); err != nil {
		return conflicted(err)
	}
	p.mu.Lock()
	p.written[r.Name] = time.Now()
	p.mu.Unlock()
	return ctrl.Result{}, nil
}
