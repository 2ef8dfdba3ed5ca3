package controller_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

// meddled runs a controller in whose first write of a kind somebody else is quicker.
func (c *cluster) meddled(method, suffix string, do func()) *kubetest.Meddler {
	c.Helper()
	config, m := kubetest.Meddle(c.account(), method, suffix, do)
	c.control(config, quick())
	return m
}

func wantAnswer(t *testing.T, m *kubetest.Meddler, want int) {
	t.Helper()
	kubetest.Eventually(t, func() error {
		if got := m.Answer(); got != want {
			return fmt.Errorf("the write was answered with %d, want %d", got, want)
		}
		return nil
	})
}

// Each write of the controller collides with another one, once, as the real API server sees it.
func TestSomebodyElseIsQuicker(t *testing.T) {
	t.Run("with a WarmSet's status", func(t *testing.T) {
		c := newCluster(t)
		s := set("s", "r.test/stk:1")
		m := c.meddled(http.MethodPut, "/warmsets/s/status", func() {
			c.change(s, func() { s.Annotations = map[string]string{"somebody": "was here"} })
		})
		c.Report(t, c.Node(t, "a", nil), image("r.test/stk:1", v1alpha1.ImageWarm))
		c.create(s)
		wantAnswer(t, m, http.StatusConflict)
		c.wantStatus("s", "1 1 0 AllWarm Idle AsExpected")
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil || s.Annotations["somebody"] == "" {
			t.Errorf("WarmSet has annotations %v, %v; want those of somebody else", s.Annotations, err)
		}
	})
	t.Run("with the WarmSet that a Fleet would get", func(t *testing.T) {
		c := newCluster(t)
		c.InstallAgones(t)
		m := c.meddled(http.MethodPost, "/warmsets", func() {
			s := set("default.stk")
			s.Spec.Fleet, s.Spec.Priority = &v1alpha1.FleetReference{Namespace: "default", Name: "stk"}, 7
			c.create(s)
		})
		c.fleet("stk", "r.test/stk:1")
		wantAnswer(t, m, http.StatusConflict)
		c.wantImages("default.stk", "r.test/stk:1")
		c.wantPriority("default.stk", 7)
	})
	t.Run("with a change to it", func(t *testing.T) {
		c := newCluster(t)
		c.InstallAgones(t)
		m := c.meddled(http.MethodPut, "/warmsets/default.stk", func() {
			s := set("default.stk")
			c.change(s, func() { s.Spec.Priority = 7 })
		})
		f := c.fleet("stk", "r.test/stk:1")
		c.wantImages("default.stk", "r.test/stk:1")
		c.change(f, func() { f.Object["spec"] = map[string]any{"template": template("r.test/stk:2")} })
		wantAnswer(t, m, http.StatusConflict)
		c.wantImages("default.stk", "r.test/stk:2")
		c.wantPriority("default.stk", 7)
	})
	t.Run("with another WarmSet of its name when its Fleet is gone", func(t *testing.T) {
		c := newCluster(t)
		c.InstallAgones(t)
		m := c.meddled(http.MethodDelete, "/warmsets/default.stk", func() {
			if err := c.Delete(t.Context(), set("default.stk")); err != nil {
				t.Error(err)
			}
			c.create(set("default.stk", "r.test/own:1"))
		})
		f := c.fleet("stk", "r.test/stk:1")
		c.wantImages("default.stk", "r.test/stk:1")
		if err := c.Delete(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, m, http.StatusConflict)
		c.wantImages("default.stk", "r.test/own:1")
	})
	t.Run("with a node's taints", func(t *testing.T) {
		c := newCluster(t)
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
		m := c.meddled(http.MethodPatch, "/nodes/a", func() {
			c.change(n, func() {
				n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "other", Effect: corev1.TaintEffectNoSchedule})
			})
		})
		made := c.Node(t, "a", nil, corev1.Taint{Key: v1alpha1.ColdTaint, Effect: corev1.TaintEffectNoSchedule})
		c.create(set("s", "r.test/stk:1"))
		c.Report(t, made, image("r.test/stk:1", v1alpha1.ImageWarm))
		wantAnswer(t, m, http.StatusConflict)
		c.wantNode("a", func(n *corev1.Node) error {
			if isCold(n) || !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "other" }) {
				return fmt.Errorf("taints are %v, want that of somebody else, and not %s", n.Spec.Taints, v1alpha1.ColdTaint)
			}
			return nil
		})
	})
	t.Run("with what a node's agent says while players are counted", func(t *testing.T) { // these do not collide: another part
		c := newCluster(t)
		c.InstallAgones(t)
		n := c.Node(t, "a", nil)
		c.Report(t, n)
		m := c.meddled(http.MethodPatch, "/nodecaches/a", func() { c.Report(t, n, image("r.test/stk:1", v1alpha1.ImageWarm)) })
		g := object("GameServer", "default", "gs", map[string]any{})
		g.Object["status"] = map[string]any{"state": "Allocated", "nodeName": "a"}
		c.create(g)
		wantAnswer(t, m, http.StatusOK)
		c.wantPlayers("a", 1)
		cache := &v1alpha1.NodeCache{}
		if err := c.Get(t.Context(), types.NamespacedName{Name: "a"}, cache); err != nil || len(cache.Status.Images) != 1 {
			t.Errorf("NodeCache has %v, %v; want what the agent said", cache.Status.Images, err)
		}
	})
}

func (c *cluster) wantPriority(set string, want int32) {
	c.Helper()
	s := &v1alpha1.WarmSet{}
	if err := c.Get(c.Context(), types.NamespacedName{Name: set}, s); err != nil || s.Spec.Priority != want {
		c.Errorf("WarmSet %s has priority %d, %v; want somebody else's %d", set, s.Spec.Priority, err, want)
	}
}
