package controller_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/internal/outputtest"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/controller"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(kubetest.M{M: m}) }

// cluster is an API server with a controller.
type cluster struct {
	*testing.T
	*kubetest.Server
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	return &cluster{T: t, Server: kubetest.Start(t)}
}

// account has the rights that a controller has in a cluster.
func (c *cluster) account() *rest.Config {
	c.Helper()
	config := c.ServiceAccount(c, kubetest.Controller, "")
	config.QPS = 100
	return config
}

// quick are settings that keep tests from waiting.
func quick() controller.Options {
	return controller.Options{Coalesce: 10 * time.Millisecond, Counts: 20 * time.Millisecond, Bytes: 200 * time.Millisecond, Players: 300 * time.Millisecond, Discover: 50 * time.Millisecond, Lease: 2 * time.Second}
}

// control runs a controller until the test ends, or until the function that it returns is called.
func (c *cluster) control(config *rest.Config, o controller.Options) (stop func() error) {
	c.Helper()
	if os.Getenv("VERBOSE") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	ctx, cancel := context.WithCancel(c.Context())
	ended := make(chan error, 1)
	go func() { ended <- controller.Run(ctx, config, o) }()
	var result error
	done := false
	stop = func() error {
		if !done {
			cancel()
			result, done = <-ended, true
		}
		return result
	}
	c.Cleanup(func() {
		if err := stop(); err != nil && !c.Failed() {
			c.Logf("controller ended: %v", err)
		}
	})
	return stop
}

func object(kind, namespace, name string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetAPIVersion("agones.dev/v1")
	u.SetKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

func template(images ...string) map[string]any {
	var containers []any
	for i, image := range images {
		containers = append(containers, map[string]any{"name": fmt.Sprintf("c%d", i), "image": image})
	}
	return map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": containers}}}}
}

func (c *cluster) create(o client.Object) {
	c.Helper()
	if err := c.Create(c.Context(), o); err != nil {
		c.Fatalf("create %s: %v", o.GetName(), err)
	}
}

func (c *cluster) fleet(name string, images ...string) *unstructured.Unstructured {
	c.Helper()
	f := object("Fleet", "default", name, map[string]any{"template": template(images...)})
	c.create(f)
	return f
}

// change edits an object, as often as it takes.
func (c *cluster) change(o client.Object, f func()) {
	c.Helper()
	kubetest.Eventually(c, func() error {
		if err := c.Get(c.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		f()
		return c.Update(c.Context(), o)
	})
}

func set(name string, images ...string) *v1alpha1.WarmSet {
	s := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, i := range images {
		s.Spec.Images = append(s.Spec.Images, v1alpha1.WantedImage{Ref: i})
	}
	return s
}

func image(ref string, state v1alpha1.ImageState) v1alpha1.CachedImage {
	return v1alpha1.CachedImage{Ref: ref, Layers: v1alpha1.AllLayers, State: state, WantedBytes: 100, PresentBytes: 40}
}

// wantImages waits until a WarmSet has these.
func (c *cluster) wantImages(set string, want ...string) {
	c.Helper()
	kubetest.Eventually(c, func() error {
		s := &v1alpha1.WarmSet{}
		if err := c.Get(c.Context(), types.NamespacedName{Name: set}, s); err != nil {
			return err
		}
		var got []string
		for _, i := range s.Spec.Images {
			got = append(got, i.Ref)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("WarmSet %s has images %q, want %q", set, got, want)
		}
		return nil
	})
}

// wantStatus waits until a WarmSet's counts and the reasons of its conditions are these.
func (c *cluster) wantStatus(set, want string) {
	c.Helper()
	kubetest.Eventually(c, func() error {
		s := &v1alpha1.WarmSet{}
		if err := c.Get(c.Context(), types.NamespacedName{Name: set}, s); err != nil {
			return err
		}
		var got strings.Builder
		got.WriteString(fmt.Sprint(s.Status.Nodes.Desired, s.Status.Nodes.Warm, s.Status.Nodes.Failed))
		for _, kind := range []string{v1alpha1.Warm, v1alpha1.Progressing, v1alpha1.Degraded} {
			if x := meta.FindStatusCondition(s.Status.Conditions, kind); x != nil {
				got.WriteString(" " + x.Reason)
			}
		}
		if got.String() != want || s.Status.ObservedGeneration != s.Generation {
			return fmt.Errorf("WarmSet %s is %s at generation %d of %d, want %s", set, got.String(), s.Status.ObservedGeneration, s.Generation, want)
		}
		return nil
	})
}

func (c *cluster) wantGone(o client.Object, name string) {
	c.Helper()
	kubetest.Eventually(c, func() error {
		if err := c.Get(c.Context(), types.NamespacedName{Name: name}, o); !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s is still there: %w", name, err)
		}
		return nil
	})
}

// wantEvent waits for one about an object.
func (c *cluster) wantEvent(name, reason string) {
	c.Helper()
	kubetest.Eventually(c, func() error {
		list := &eventsv1.EventList{}
		if err := c.List(c.Context(), list); err != nil {
			return err
		}
		var reasons []string
		for _, e := range list.Items {
			if e.Regarding.Name == name {
				if e.Reason == reason {
					return nil
				}
				reasons = append(reasons, e.Reason)
			}
		}
		return fmt.Errorf("events about %s are %q, want %s", name, reasons, reason)
	})
}

func (c *cluster) wantNode(name string, check func(*corev1.Node) error) {
	c.Helper()
	kubetest.Eventually(c, func() error {
		n := &corev1.Node{}
		if err := c.Get(c.Context(), types.NamespacedName{Name: name}, n); err != nil {
			return err
		}
		return check(n)
	})
}

func labeled(label string, want bool) func(*corev1.Node) error {
	return func(n *corev1.Node) error {
		if _, has := n.Labels[label]; has != want {
			return fmt.Errorf("node %s has labels %v: %s has to be there: %t", n.Name, n.Labels, label, want)
		}
		return nil
	}
}

func isCold(n *corev1.Node) bool {
	for _, t := range n.Spec.Taints {
		if t.Key == v1alpha1.ColdTaint {
			return true
		}
	}
	return false
}

func TestAFleetIsFollowed(t *testing.T) {
	c := newCluster(t)
	c.InstallAgones(t)
	c.control(c.account(), quick())
	f := c.fleet("stk", "r.test/stk:1", "r.test/sidecar:1")
	c.wantImages("default.stk", "r.test/stk:1", "r.test/sidecar:1")
	c.wantEvent("stk", v1alpha1.ReasonDerived)

	c.change(f, func() { f.SetAnnotations(map[string]string{v1alpha1.NextImageAnnotation: "r.test/stk:2"}) })
	c.wantImages("default.stk", "r.test/stk:1", "r.test/sidecar:1", "r.test/stk:2")

	old := object("GameServerSet", "default", "stk-old", map[string]any{"template": template("r.test/stk:1", "r.test/sidecar:1")})
	old.SetLabels(map[string]string{"agones.dev/fleet": "stk"})
	old.Object["status"] = map[string]any{"replicas": int64(2)}
	c.create(old)
	c.change(f, func() {
		f.SetAnnotations(nil)
		f.Object["spec"] = map[string]any{"template": template("r.test/stk:2")}
	})
	c.wantImages("default.stk", "r.test/stk:2", "r.test/stk:1", "r.test/sidecar:1")
	c.change(old, func() { old.Object["status"] = map[string]any{"replicas": int64(0)} })
	c.wantImages("default.stk", "r.test/stk:2")

	t.Run("somebody's changes to what the Fleet says do not stay", func(t *testing.T) {
		s := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: "default.stk"}}
		c.change(s, func() { s.Spec.Images, s.Spec.Priority = nil, 7 })
		c.wantImages("default.stk", "r.test/stk:2")
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil || s.Spec.Priority != 7 {
			t.Errorf("priority is %d, %v; want 7, which is its author's", s.Spec.Priority, err)
		}
	})
	t.Run("a WarmSet that was deleted comes back", func(t *testing.T) {
		if err := c.Delete(t.Context(), set("default.stk")); err != nil {
			t.Fatal(err)
		}
		c.wantImages("default.stk", "r.test/stk:2")
	})
	t.Run("the annotation opts out, and in again", func(t *testing.T) {
		c.change(f, func() { f.SetAnnotations(map[string]string{v1alpha1.WarmAnnotation: "false"}) })
		c.wantGone(&v1alpha1.WarmSet{}, "default.stk")
		c.change(f, func() { f.SetAnnotations(nil) })
		c.wantImages("default.stk", "r.test/stk:2")
	})
	t.Run("it goes with the Fleet", func(t *testing.T) {
		if err := c.Delete(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		c.wantGone(&v1alpha1.WarmSet{}, "default.stk")
	})
}

func TestAFleetsNodesAreThoseOfItsPods(t *testing.T) {
	c := newCluster(t)
	c.InstallAgones(t)
	c.control(c.account(), quick())
	arm := map[string]string{"kubernetes.io/arch": "arm64", "zone": "a"}
	games := corev1.Taint{Key: "games", Effect: corev1.TaintEffectNoSchedule}
	c.Report(t, c.Node(t, "fits", arm, games), image("r.test/stk:1", v1alpha1.ImageWarm))
	c.Node(t, "other-arch", map[string]string{"kubernetes.io/arch": "amd64", "zone": "a"}, games)
	c.Node(t, "other-zone", map[string]string{"kubernetes.io/arch": "arm64", "zone": "b"}, games)
	c.Node(t, "tainted", arm, games, corev1.Taint{Key: "gpu", Effect: corev1.TaintEffectNoSchedule})
	f := object("Fleet", "default", "stk", map[string]any{"template": template("r.test/stk:1")})
	for field, value := range map[string]any{
		"nodeSelector":     map[string]any{"kubernetes.io/arch": "arm64"},
		"tolerations":      []any{map[string]any{"key": "games", "operator": "Exists"}},
		"imagePullSecrets": []any{map[string]any{"name": "registry"}},
		"affinity": map[string]any{"nodeAffinity": map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{
			"nodeSelectorTerms": []any{map[string]any{"matchExpressions": []any{map[string]any{"key": "zone", "operator": "In", "values": []any{"a"}}}}},
		}}},
	} {
		if err := unstructured.SetNestedField(f.Object, value, "spec", "template", "spec", "template", "spec", field); err != nil {
			t.Fatal(err)
		}
	}
	c.create(f)
	c.wantStatus("default.stk", "1 1 0 AllWarm Idle AsExpected")
	c.wantNode("fits", labeled("pitcrew.dev/warm-default.stk", true))
	s := set("default.stk")
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil || fmt.Sprint(s.Spec.PullSecrets) != "[{default registry}]" {
		t.Errorf("WarmSet has pull secrets %v, %v; want the Fleet's", s.Spec.PullSecrets, err)
	}
}

func TestAnAuthorsWarmSetFollowsItsFleet(t *testing.T) {
	c := newCluster(t)
	c.InstallAgones(t)
	own := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Spec: v1alpha1.WarmSetSpec{Fleet: &v1alpha1.FleetReference{Namespace: "default", Name: "stk"}, Layers: v1alpha1.AssetsLayers}}
	c.create(own)
	f := c.fleet("stk", "r.test/stk:1")
	c.control(c.account(), quick())
	c.wantImages("mine", "r.test/stk:1")
	if err := c.Delete(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	c.wantImages("mine")
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(set("default.stk")), &v1alpha1.WarmSet{}); !apierrors.IsNotFound(err) {
		t.Errorf("a WarmSet was made beside the author's: %v", err)
	}
}

func TestOnlyTheNamespacesThatWereChosen(t *testing.T) {
	c := newCluster(t)
	c.InstallAgones(t)
	other := object("Fleet", "kube-public", "other", map[string]any{"template": template("r.test/other:1")})
	c.create(other)
	o := quick()
	o.Namespaces = []string{"default"}
	c.control(c.account(), o)
	c.fleet("stk", "r.test/stk:1")
	c.wantImages("default.stk", "r.test/stk:1")
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(set("kube-public.other")), &v1alpha1.WarmSet{}); !apierrors.IsNotFound(err) {
		t.Errorf("WarmSet of a Fleet in another namespace: %v", err)
	}
}

func TestNodesSayHowFarASetIs(t *testing.T) {
	c := newCluster(t)
	c.control(c.account(), quick())
	a, b := c.Node(t, "a", map[string]string{"role": "game"}), c.Node(t, "b", map[string]string{"role": "game"})
	c.Node(t, "web", nil)
	s := set("s", "r.test/stk:1")
	s.Spec.NodeSelector = map[string]string{"role": "game"}
	c.create(s)
	c.wantStatus("s", "2 0 0 Pulling Pulling AsExpected")
	c.Report(t, a, image("r.test/stk:1", v1alpha1.ImageWarm))
	c.Report(t, b, image("r.test/stk:1", v1alpha1.ImagePulling))
	c.wantStatus("s", "2 1 0 Pulling Pulling AsExpected")
	c.wantNode("a", labeled("pitcrew.dev/warm-s", true))
	c.Report(t, b, image("r.test/stk:1", v1alpha1.ImageFailed))
	c.wantStatus("s", "2 1 1 ImageFailed Idle ImageFailed")
	c.wantEvent("s", v1alpha1.ReasonImageFailed)
	c.Report(t, b, image("r.test/stk:1", v1alpha1.ImageWarm))
	c.wantStatus("s", "2 2 0 AllWarm Idle AsExpected")
	c.wantEvent("s", v1alpha1.ReasonAllWarm)
	c.wantNode("b", labeled("pitcrew.dev/warm-s", true))
	c.wantNode("web", labeled("pitcrew.dev/warm-s", false))

	t.Run("nothing is written when nothing happens", func(t *testing.T) {
		before := c.version()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range 10 { // of the intervals at which bytes are written
			<-tick.C
		}
		if after := c.version(); after != before {
			t.Errorf("objects were written:\n%s\n%s", before, after)
		}
	})
	t.Run("a node that leaves does not count", func(t *testing.T) {
		if err := c.Delete(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		c.wantStatus("s", "1 1 0 AllWarm Idle AsExpected")
	})
	t.Run("nor does what an earlier node of the name said", func(t *testing.T) {
		c.Node(t, "b", map[string]string{"role": "game"})
		c.wantStatus("s", "2 1 0 Pulling Pulling AsExpected")
	})
	t.Run("a set that is gone leaves no label", func(t *testing.T) {
		if err := c.Delete(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		c.wantNode("a", labeled("pitcrew.dev/warm-s", false))
	})
}

// version is that of every object that a controller writes.
func (c *cluster) version() string {
	c.Helper()
	var out strings.Builder
	for _, list := range []client.ObjectList{&v1alpha1.WarmSetList{}, &v1alpha1.NodeCacheList{}, &corev1.NodeList{}} {
		if err := c.List(c.Context(), list); err != nil {
			c.Fatal(err)
		}
		if err := meta.EachListItem(list, func(o runtime.Object) error {
			x := o.(client.Object)
			out.WriteString(x.GetName() + "@" + x.GetResourceVersion() + " ")
			return nil
		}); err != nil {
			c.Fatal(err)
		}
	}
	return out.String()
}

func TestBadInputIsVisible(t *testing.T) {
	c := newCluster(t)
	c.InstallAgones(t)
	c.control(c.account(), quick())
	t.Run("a selector that matches no node", func(t *testing.T) {
		s := set("nowhere", "r.test/stk:1")
		s.Spec.NodeSelector = map[string]string{"role": "none"}
		c.create(s)
		c.wantStatus("nowhere", "0 0 0 NoMatchingNodes Idle AsExpected")
		c.wantEvent("nowhere", v1alpha1.ReasonNoNodes)
	})
	t.Run("a Fleet with an image that is no reference", func(t *testing.T) {
		n := c.Node(t, "a", nil)
		c.Report(t, n, image("r.test/stk:1", v1alpha1.ImageWarm))
		c.fleet("odd", "NOT ONE", "r.test/stk:1")
		c.wantImages("default.odd", "r.test/stk:1")
		c.wantStatus("default.odd", "1 1 0 AllWarm Idle InvalidImage")
		c.wantEvent("odd", v1alpha1.ReasonInvalidImage)
	})
	t.Run("a Fleet with fifty containers", func(t *testing.T) {
		var images []string
		for i := range 50 {
			images = append(images, fmt.Sprintf("r.test/side:%d", i))
		}
		c.fleet("wide", images...)
		c.wantImages("default.wide", images...)
		var all []v1alpha1.CachedImage
		for i := range images {
			all = append(all, image(images[i], v1alpha1.ImageWarm))
		}
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(n), n); err != nil {
			t.Fatal(err)
		}
		c.Report(t, n, all[1:]...)
		c.wantStatus("default.wide", "1 0 0 Pulling Pulling AsExpected")
		all[0].State = v1alpha1.ImageFailed
		c.Report(t, n, all...)
		c.wantStatus("default.wide", "1 0 1 ImageFailed Idle ImageFailed")
		c.wantEvent("default.wide", v1alpha1.ReasonImageFailed)
		all[0].State = v1alpha1.ImageWarm
		c.Report(t, n, append(all, image("r.test/stk:1", v1alpha1.ImageWarm))...)
		c.wantStatus("default.wide", "1 1 0 AllWarm Idle AsExpected")
	})
	t.Run("a WarmSet of the name that a Fleet's would have", func(t *testing.T) {
		c.create(set("default.taken", "r.test/other:1"))
		c.fleet("taken", "r.test/stk:1")
		c.fleet("next", "r.test/stk:1")
		c.wantImages("default.next", "r.test/stk:1")
		c.wantImages("default.taken", "r.test/other:1")
		c.wantEvent("taken", v1alpha1.ReasonNameTaken)
		cold := c.Node(t, "cold", nil, corev1.Taint{Key: v1alpha1.ColdTaint, Effect: corev1.TaintEffectNoSchedule})
		c.create(set("all", "r.test/all:1"))
		all := []v1alpha1.CachedImage{image("r.test/all:1", v1alpha1.ImageWarm), image("r.test/stk:1", v1alpha1.ImageWarm), image("r.test/other:1", v1alpha1.ImageWarm)}
		for i := range 50 {
			all = append(all, image(fmt.Sprintf("r.test/side:%d", i), v1alpha1.ImageWarm))
		}
		c.Report(t, cold, all...)
		c.wantNode("cold", func(n *corev1.Node) error {
			if isCold(n) {
				return errors.New("the taint is still there")
			}
			return nil
		})
	})
}

func TestAColdNodeThaws(t *testing.T) {
	c := newCluster(t)
	c.control(c.account(), quick())
	cold := corev1.Taint{Key: v1alpha1.ColdTaint, Effect: corev1.TaintEffectNoSchedule}
	c.create(set("s", "r.test/stk:1"))
	c.create(set("t", "r.test/stk:2"))
	n := c.Node(t, "late", nil, cold)
	c.Report(t, n, image("r.test/stk:1", v1alpha1.ImageWarm))
	c.wantNode("late", labeled("pitcrew.dev/warm-s", true))
	c.wantNode("late", func(n *corev1.Node) error {
		if !isCold(n) {
			t.Error("the taint went before everything was warm")
		}
		return nil
	})
	c.Report(t, n, image("r.test/stk:1", v1alpha1.ImageWarm), image("r.test/stk:2", v1alpha1.ImageWarm))
	c.wantNode("late", func(n *corev1.Node) error {
		if isCold(n) {
			return errors.New("the taint is still there")
		}
		return nil
	})
	c.wantEvent("late", v1alpha1.ReasonNodeWarm)
	c.Report(t, n)
	c.wantNode("late", labeled("pitcrew.dev/warm-s", false))
	c.wantNode("late", func(n *corev1.Node) error {
		if isCold(n) {
			t.Error("the taint came back")
		}
		return nil
	})
}

func TestAgonesMayComeLater(t *testing.T) {
	c := newCluster(t)
	c.control(c.account(), quick())
	n := c.Node(t, "a", nil)
	c.Report(t, n, image("r.test/stk:1", v1alpha1.ImageWarm))
	c.create(set("s", "r.test/stk:1"))
	c.wantStatus("s", "1 1 0 AllWarm Idle AsExpected")
	c.InstallAgones(t)
	c.fleet("stk", "r.test/stk:1")
	c.wantStatus("default.stk", "1 1 0 AllWarm Idle AsExpected")
}

func TestPlayersReachTheirNode(t *testing.T) {
	c := newCluster(t)
	c.InstallAgones(t)
	c.control(c.account(), quick())
	c.Report(t, c.Node(t, "a", nil))
	c.Report(t, c.Node(t, "b", nil))
	g := object("GameServer", "default", "gs", map[string]any{})
	players := func(node string, names ...any) map[string]any {
		return map[string]any{"state": "Allocated", "nodeName": node, "lists": map[string]any{"players": map[string]any{"values": names}}}
	}
	g.Object["status"] = players("a", "x", "y")
	c.create(g)
	c.wantPlayers("a", 2)
	c.change(g, func() { g.Object["status"] = players("a", "x", "y", "z") })
	c.wantPlayers("a", 3)
	c.change(g, func() { g.Object["status"] = players("b", "x") })
	c.wantPlayers("a", 0)
	c.wantPlayers("b", 1)
	if err := c.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	c.wantPlayers("b", 0)
}

func (c *cluster) wantPlayers(node string, want int32) {
	c.Helper()
	kubetest.Eventually(c, func() error {
		n := &v1alpha1.NodeCache{}
		if err := c.Get(c.Context(), types.NamespacedName{Name: node}, n); err != nil {
			return err
		}
		if n.Spec.Players != want {
			return fmt.Errorf("node %s is told of %d players, want %d", node, n.Spec.Players, want)
		}
		return nil
	})
}

func TestARestartFindsWhatHappenedMeanwhile(t *testing.T) {
	c := newCluster(t)
	c.InstallAgones(t)
	stop := c.control(c.account(), quick())
	gone := c.fleet("gone", "r.test/stk:1")
	changed := c.fleet("changed", "r.test/stk:1")
	c.wantImages("default.gone", "r.test/stk:1")
	c.wantImages("default.changed", "r.test/stk:1")
	if err := stop(); err != nil {
		t.Fatalf("Run after its context ended: %v", err)
	}
	if err := c.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	c.change(changed, func() { changed.Object["spec"] = map[string]any{"template": template("r.test/stk:2")} })
	c.control(c.account(), quick())
	c.wantGone(&v1alpha1.WarmSet{}, "default.gone")
	c.wantImages("default.changed", "r.test/stk:2")
}

func TestAnotherControllerTakesOver(t *testing.T) {
	c := newCluster(t)
	o := quick()
	o.LeaseNamespace = kubetest.Namespace
	first := c.control(c.account(), o)
	c.create(set("s", "r.test/stk:1"))
	c.wantStatus("s", "0 0 0 NoMatchingNodes Idle AsExpected")
	c.control(c.account(), o)
	if err := first(); err != nil {
		t.Fatal(err)
	}
	c.create(set("t", "r.test/stk:1"))
	c.wantStatus("t", "0 0 0 NoMatchingNodes Idle AsExpected")
}

func TestAnAPIServerThatWasAway(t *testing.T) {
	c := newCluster(t)
	c.control(c.account(), quick())
	n := c.Node(t, "a", nil)
	c.create(set("s", "r.test/stk:1"))
	c.wantStatus("s", "1 0 0 Pulling Pulling AsExpected")
	c.Kill()
	c.Restart(t)
	c.Report(t, n, image("r.test/stk:1", v1alpha1.ImageWarm))
	c.wantStatus("s", "1 1 0 AllWarm Idle AsExpected")
}

func TestALeaderThatLosesTheAPIServerGivesUp(t *testing.T) {
	c := newCluster(t)
	o := quick()
	o.LeaseNamespace = kubetest.Namespace
	ended, account := make(chan error, 1), c.account()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- controller.Run(ctx, account, o) }()
	c.create(set("s", "r.test/stk:1"))
	c.wantStatus("s", "0 0 0 NoMatchingNodes Idle AsExpected")
	c.Kill()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Run without its lease: no error")
		}
	case <-time.After(30 * time.Second):
		t.Error("Run goes on without its lease")
		cancel()
		<-ended
	}
	c.Restart(t)
	c.control(c.account(), o)
	c.create(set("t", "r.test/stk:1"))
	c.wantStatus("t", "0 0 0 NoMatchingNodes Idle AsExpected")
}

func TestAControllerMayStartBeforeTheAPIServer(t *testing.T) {
	c := newCluster(t)
	account := c.account()
	c.create(set("s", "r.test/stk:1"))
	c.Kill()
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o, log := quick(), &outputtest.Output{}
	o.Probes, o.Log = "127.0.0.1:0", slog.New(slog.NewTextHandler(log, nil))
	go func() { ended <- controller.Run(ctx, account, o) }()
	wantProbe := func(path string, want int) {
		t.Helper()
		kubetest.Eventually(t, func() error {
			m := listening.FindStringSubmatch(log.String())
			if m == nil {
				return errors.New("no probes are served")
			}
			web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := web.Get("http://" + m[1] + path)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != want {
				return fmt.Errorf("%s is answered with %d, want %d", path, resp.StatusCode, want)
			}
			return nil
		})
	}
	kubetest.Eventually(t, func() error {
		if !strings.Contains(log.String(), "waiting for the API server") {
			return errors.New("the controller does not say that it waits")
		}
		return nil
	})
	wantProbe("/healthz", http.StatusOK)
	wantProbe("/readyz", http.StatusServiceUnavailable)
	c.Restart(t)
	c.wantStatus("s", "0 0 0 NoMatchingNodes Idle AsExpected")
	wantProbe("/healthz", http.StatusOK)
	wantProbe("/readyz", http.StatusOK)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run after its context ended: %v", err)
	}
}

var listening = regexp.MustCompile(`probes are served" listen=(\S+)`)
