package controller_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/scheme"
)

// loadEnv is how many nodes [TestAThousandNodes] has.
const loadEnv = "PITCREW_LOAD_NODES"

// TestAThousandNodes has every node watch WarmSets as its agent does. A Fleet's image changes; every node sees it, and
// reports it warm.
func TestAThousandNodes(t *testing.T) {
	c := newCluster(t)
	count := 50
	if n, err := strconv.Atoi(os.Getenv(loadEnv)); err == nil {
		count = n
	}
	c.InstallAgones(t)
	f := c.fleet("stk", "r.test/stk:1")
	l := &load{cluster: c, seen: map[string][]time.Time{}}
	l.nodes(count)
	c.control(c.account(), quick())
	c.wantImages("default.stk", "r.test/stk:1")
	stop := l.agents(count)
	defer stop()
	l.wantWarm(count)
	l.writes.Store(0)

	began := time.Now()
	c.change(f, func() { f.Object["spec"] = map[string]any{"template": template("r.test/stk:2")} })
	l.wantSeen("r.test/stk:2", count)
	slowest, middle := l.latency("r.test/stk:2", began)
	l.wantWarm(count)
	t.Logf("%d nodes: image in their plans after %s (p50), %s (p99); warm in the set's status after %s; %d writes of agents; %s of the test's process",
		count, middle, slowest, time.Since(began), l.writes.Load(), rss(t))
	if bar := 2 * time.Second; slowest > bar && count <= 50 {
		t.Errorf("the slowest percent of the plans took %s, want %s at most", slowest, bar)
	}
	l.settle()
	t.Logf("quiet after %s", time.Since(began))
}

// settle waits until nothing has been written for two seconds.
func (l *load) settle() {
	l.Helper()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	before := ""
	for range 60 {
		after := l.version()
		if after == before {
			return
		}
		before = after
		<-tick.C
	}
	l.Error("something is written although nothing happens")
}

// rss is the memory of this process: the controller and what stands in for agents.
func rss(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// load stands in for agents.
type load struct {
	*cluster
	writes atomic.Int64
	mu     sync.Mutex
	seen   map[string][]time.Time // when agents saw an image, by its name
}

func (l *load) nodes(count int) {
	l.Helper()
	var g errgroup.Group
	g.SetLimit(16)
	for i := range count {
		g.Go(func() error {
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i)}}
			if err := l.Create(l.Context(), n); err != nil {
				return err
			}
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
			if err := l.Status().Update(l.Context(), n); err != nil {
				return err
			}
			return l.Create(l.Context(), &v1alpha1.NodeCache{ObjectMeta: metav1.ObjectMeta{Name: n.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}}})
		})
	}
	if err := g.Wait(); err != nil {
		l.Fatal(err)
	}
}

// agents watch, one connection's stream each, and report every image warm.
func (l *load) agents(count int) (stop func()) {
	l.Helper()
	ctx, cancel := context.WithCancel(l.Context())
	watcher, err := client.NewWithWatch(l.Config(), client.Options{Scheme: scheme.New()})
	if err != nil {
		l.Fatal(err)
	}
	var running sync.WaitGroup
	for i := range count {
		w, err := watcher.Watch(ctx, &v1alpha1.WarmSetList{})
		if err != nil {
			l.Fatal(err)
		}
		running.Go(func() { l.agent(ctx, fmt.Sprintf("n%d", i), w) })
	}
	return func() { cancel(); running.Wait() }
}

func (l *load) agent(ctx context.Context, node string, w watch.Interface) {
	defer w.Stop()
	var said []string
	for e := range w.ResultChan() {
		set, ok := e.Object.(*v1alpha1.WarmSet)
		if !ok {
			continue
		}
		var refs []string
		for _, i := range set.Spec.Images {
			refs = append(refs, i.Ref)
		}
		if slices.Equal(refs, said) {
			continue
		}
		said = refs
		l.mu.Lock()
		for _, r := range refs {
			l.seen[r] = append(l.seen[r], time.Now())
		}
		l.mu.Unlock()
		select { // an agent reports at its next tick, which is not every agent's
		case <-time.After(rand.N(time.Second)):
		case <-ctx.Done():
		}
		if err := l.report(ctx, node, refs); err != nil && ctx.Err() == nil {
			l.Errorf("report %s: %v", node, err)
		}
	}
}

func (l *load) report(ctx context.Context, node string, refs []string) error {
	for {
		c := &v1alpha1.NodeCache{}
		if err := l.Get(ctx, types.NamespacedName{Name: node}, c); err != nil {
			return err
		}
		c.Status = v1alpha1.NodeCacheStatus{Observed: true}
		for _, r := range refs {
			c.Status.Images = append(c.Status.Images, image(r, v1alpha1.ImageWarm))
		}
		l.writes.Add(1)
		if err := l.Status().Update(ctx, c); !apierrors.IsConflict(err) {
			return err
		}
	}
}

func (l *load) wantSeen(ref string, count int) {
	l.Helper()
	kubetest.Eventually(l, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := len(l.seen[ref]); n != count {
			return fmt.Errorf("%d of %d nodes know of %s", n, count, ref)
		}
		return nil
	})
}

// latency is what 99 and 50 percent of the nodes needed at most.
func (l *load) latency(ref string, began time.Time) (p99, p50 time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.seen[ref]
	slices.SortFunc(at, time.Time.Compare)
	return at[(len(at)*99+99)/100-1].Sub(began), at[len(at)/2].Sub(began)
}

func (l *load) wantWarm(count int) {
	l.Helper()
	l.wantStatus("default.stk", fmt.Sprintf("%d %d 0 AllWarm Idle AsExpected", count, count))
}
