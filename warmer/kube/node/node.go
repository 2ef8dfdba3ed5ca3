package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
)

// Options are a node's settings. Name is needed.
type Options struct {
	// Name is the Node's.
	Name string
	// Version and Platform are told in the NodeCache.
	Version, Platform string
	// Every is how often the agent's state is looked at, Bytes how often it is written if nothing but bytes changed.
	Every, Bytes time.Duration
	// State is a file in which the node remembers what it was told, for its next life; empty means that it does not.
	State string
	// Patience is how long it waits at its start for the API server before it goes on with that.
	Patience time.Duration
	Log      *slog.Logger
}

// Node is one node's view of the cluster. Use [New], and [Node.Run].
type Node struct {
	o      Options
	cache  cache.Cache
	client client.Client
	synced chan struct{}
	// before is what was told in an earlier life, or nil.
	before  *told
	secrets secrets

	mu        sync.Mutex
	followers map[chan struct{}]bool
	now       told
}

// logOnce sets controller-runtime's logger, which would complain if nobody did, and which can be set only once.
var logOnce sync.Once

// New makes one, without asking the API server anything.
func New(c *rest.Config, o Options) (*Node, error) {
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Bytes <= 0 {
		o.Bytes = 10 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	logOnce.Do(func() { ctrllog.SetLogger(logr.FromSlogHandler(o.Log.Handler())) })
	s, m, err := kinds()
	if err != nil {
		return nil, err
	}
	n := &Node{
		o: o, synced: make(chan struct{}), followers: map[chan struct{}]bool{}, now: told{Node: o.Name},
		secrets: secrets{had: map[types.NamespacedName]secret{}},
	}
	if n.before = n.recall(); n.before != nil {
		n.now = *n.before
	}
	own := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", o.Name)}
	n.cache, err = cache.New(c, cache.Options{
		Scheme: s, Mapper: m, DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{&corev1.Node{}: own, &v1alpha1.NodeCache{}: own, &v1alpha1.WarmSet{}: {}},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.Host, err)
	}
	n.client, err = client.New(c, client.Options{Scheme: s, Mapper: m})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.Host, err)
	}
	return n, nil
}

// kinds are those that are watched, and secrets. That they are known here spares every agent the questions about all others, and lets
// it start while the API server is away.
func kinds() (*runtime.Scheme, meta.RESTMapper, error) {
	s, m := runtime.NewScheme(), meta.NewDefaultRESTMapper(nil)
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			return nil, nil, err
		}
	}
	m.Add(corev1.SchemeGroupVersion.WithKind("Node"), meta.RESTScopeRoot)
	m.Add(v1alpha1.GroupVersion.WithKind("WarmSet"), meta.RESTScopeRoot)
	m.Add(v1alpha1.GroupVersion.WithKind("NodeCache"), meta.RESTScopeRoot)
	m.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	return s, m, nil
}

// Run watches until ctx ends, when it returns nil.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.cache.Start(ctx) }() // joined below
	err := n.watch(ctx)
	if err != nil {
		cancel()
	}
	defer cancel()
	if failed := <-ended; err == nil {
		err = failed
	}
	return err
}

func (n *Node) watch(ctx context.Context) error {
	tell := toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { n.changed() }, UpdateFunc: func(any, any) { n.changed() }, DeleteFunc: func(any) { n.changed() },
	}
	for _, o := range []client.Object{&corev1.Node{}, &v1alpha1.NodeCache{}, &v1alpha1.WarmSet{}} {
		i, err := n.cache.GetInformer(ctx, o, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %T: %w", o, err)
		}
		if _, err := i.AddEventHandler(tell); err != nil {
			return fmt.Errorf("watch %T: %w", o, err)
		}
	}
	if n.cache.WaitForCacheSync(ctx) {
		n.o.Log.Info("cluster is watched", "node", n.o.Name)
		close(n.synced)
	}
	return nil
}

func (n *Node) changed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.followers {
		select {
		case c <- struct{}{}:
		default: // it will look anyway
		}
	}
}

// view is what is known of the cluster.
type view struct {
	node  *corev1.Node // nil if it is not there
	cache *v1alpha1.NodeCache
	sets  []v1alpha1.WarmSet
}

// follow calls f with what is known, at once and at every change, until ctx ends.
func (n *Node) follow(ctx context.Context, f func(view)) error {
	signal := make(chan struct{}, 1)
	n.mu.Lock()
	n.followers[signal] = true
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.followers, signal)
	}()
	select {
	case <-n.synced:
	case <-ctx.Done():
		return nil
	}
	for {
		v, err := n.view(ctx)
		if err == nil {
			f(v)
		}
		select {
		case <-signal:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Node) view(ctx context.Context) (view, error) {
	v := view{node: &corev1.Node{}, cache: &v1alpha1.NodeCache{}}
	key := types.NamespacedName{Name: n.o.Name}
	if err := n.cache.Get(ctx, key, v.node); apierrors.IsNotFound(err) {
		v.node = nil
	} else if err != nil {
		return v, err
	}
	if err := n.cache.Get(ctx, key, v.cache); apierrors.IsNotFound(err) {
		v.cache = nil
	} else if err != nil {
		return v, err
	}
	list := &v1alpha1.WarmSetList{}
	err := n.cache.List(ctx, list)
	v.sets = list.Items
	return v, err
}
