package controller

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
)

// arrival waits for Agones, and then watches it.
type arrival struct {
	*work
	api discovery.DiscoveryInterface
}

func addAgones(w *work) error {
	api, err := discovery.NewDiscoveryClientForConfigAndClient(w.mgr.GetConfig(), w.mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	return w.mgr.Add(&arrival{work: w, api: api})
}

// Start looks for Agones until it is there, or ctx ends.
func (a *arrival) Start(ctx context.Context) error {
	tick := time.NewTicker(a.o.Discover)
	defer tick.Stop()
	for {
		if a.here() {
			a.o.Log.Info("agones is installed: fleets are watched")
			if err := addPlayers(ctx, a.work); err != nil {
				return err
			}
			if err := addFleets(a.work); err != nil {
				return err
			}
			a.agones.Store(present)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// here says that all of Agones' kinds are served. If the API server does not answer, nothing is known.
func (a *arrival) here() bool {
	groups, err := a.api.ServerGroups()
	if err != nil {
		a.o.Log.Warn("agones could not be looked for", "error", err)
		return false
	}
	if !slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == agones.GroupVersion.Group }) {
		a.agones.Store(missing)
		return false
	}
	list, err := a.api.ServerResourcesForGroupVersion(agones.GroupVersion.String())
	if err != nil {
		return false // it is on its way
	}
	for _, kind := range agones.Kinds {
		if !slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == kind }) {
			return false
		}
	}
	return true
}
