package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/scheme"
)

// Options are a controller's settings. Its zero value works, without leader election.
type Options struct {
	// Namespaces are those whose Fleets are warmed; none means all.
	Namespaces []string
	// LeaseNamespace is where controllers agree on who works; empty means that this is the only one.
	LeaseNamespace string
	// Lease is for how long a controller that vanished keeps its place.
	Lease time.Duration
	// Metrics and Probes are addresses to serve on; empty means not to.
	Metrics, Probes string

	// Coalesce is how long changes of nodes are collected before WarmSets are summed up.
	Coalesce time.Duration
	// Counts is how often a status is written in which nothing changed but how many nodes are warm or failed: each goes to
	// every node.
	Counts time.Duration
	// Bytes is how often a status is written in which nothing but bytes changed.
	Bytes time.Duration
	// Players is how often a number of players is written that is not the first and not the last.
	Players time.Duration
	// Discover is how often Agones is looked for, until it is there.
	Discover time.Duration

	Log *slog.Logger
}

func (o *Options) complete() {
	for d, fallback := range map[*time.Duration]time.Duration{
		&o.Lease: 15 * time.Second, &o.Coalesce: 200 * time.Millisecond, &o.Counts: time.Second, &o.Bytes: 5 * time.Second, &o.Players: 30 * time.Second, &o.Discover: 15 * time.Second,
	} {
		if *d <= 0 {
			*d = fallback
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == "" {
		o.Metrics = "0" // which is how controller-runtime calls none
	}
}

// logOnce sets controller-runtime's logger, which can be set only once. client-go's (klog) stays as it is: to set it while
// other clients of the process are at work is a data race.
var logOnce sync.Once

// Run works until ctx ends, when it returns nil. It gives up, with an error, if it lost its lease: another controller may
// be at work, and this one has to begin anew.
func Run(ctx context.Context, c *rest.Config, o Options) (err error) {
	o.complete()
	p, err := serveProbes(ctx, o.Probes, o.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	return run(ctx, c, o, &p.ready)
}

func run(ctx context.Context, c *rest.Config, o Options, ready *atomic.Bool) error {
	log := logr.FromSlogHandler(o.Log.Handler())
	logOnce.Do(func() { ctrllog.SetLogger(log) })
	if err := await(ctx, c, o.Log); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(c, managerOptions(o, log))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.Host, err)
	}
	w := &work{Client: mgr.GetClient(), mgr: mgr, events: mgr.GetEventRecorder("pitcrew-warmer"), o: o}
	for _, add := range []func(*work) error{addSets, addNodes, addAgones} {
		if err := add(w); err != nil {
			return err
		}
	}
	ready.Store(true)
	defer ready.Store(false)
	return mgr.Start(ctx)
}

// wait is how often an API server that does not answer is asked again; refusals is how often it may refuse, as one that has
// just started does.
const (
	wait     = 2 * time.Second
	refusals = 5
)

// await returns when the API server is ready and serves our kinds, which it never does without their CRDs; and when it goes
// on refusing to say so, or ctx ends. To end instead would leave it to kubelet when to try again, which is after minutes if
// the API server is away for longer.
func await(ctx context.Context, c *rest.Config, log *slog.Logger) error {
	api, err := discovery.NewDiscoveryClientForConfig(c)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.Host, err)
	}
	again := time.NewTicker(wait)
	defer again.Stop()
	refused := 0
	for told := false; ; told = true {
		err := serves(ctx, api)
		if apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) {
			refused++
		}
		if err == nil || refused == refusals { // then what follows says what is wrong
			return nil
		}
		if !told {
			log.Warn("waiting for the API server, and for the CRDs of pitcrew.dev", "error", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// serves says why the API server is of no use yet.
func serves(ctx context.Context, api discovery.DiscoveryInterface) error {
	if err := api.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return err
	}
	if _, err := api.ServerGroups(); err != nil {
		return err
	}
	_, err := api.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	return err
}

func managerOptions(o Options, log logr.Logger) ctrl.Options {
	repeated := true
	m := ctrl.Options{
		Scheme: scheme.New(), Logger: log,
		LeaderElection: o.LeaseNamespace != "", LeaderElectionID: "pitcrew-warmer", LeaderElectionNamespace: o.LeaseNamespace, LeaderElectionReleaseOnCancel: true,
		LeaseDuration: new(o.Lease), RenewDeadline: new(o.Lease * 2 / 3), RetryPeriod: new(o.Lease / 8),
		Metrics: metrics.Options{BindAddress: o.Metrics}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: &repeated},
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject:         map[client.Object]cache.ByObject{&corev1.Node{}: {Transform: slim}, &v1alpha1.NodeCache{}: {Transform: slim}},
		},
	}
	if len(o.Namespaces) > 0 {
		m.Cache.DefaultNamespaces = map[string]cache.Config{}
		for _, n := range o.Namespaces {
			m.Cache.DefaultNamespaces[n] = cache.Config{}
		}
	}
	return m
}

// slim drops what is large in objects of which there are many, and of no use here. What is patched is compared with what is
// left.
func slim(o any) (any, error) {
	switch o := o.(type) {
	case *corev1.Node:
		o.ManagedFields, o.Annotations = nil, nil
		o.Status = corev1.NodeStatus{Conditions: o.Status.Conditions}
	case *v1alpha1.NodeCache:
		o.ManagedFields, o.Annotations = nil, nil
		for i := range o.Status.Images {
			o.Status.Images[i].Phases, o.Status.Images[i].Digest = nil, ""
		}
	}
	return o, nil
}
