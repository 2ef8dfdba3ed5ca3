package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/test/e2e/cluster"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
)

// A node with a small disk joins a cluster whose Fleet waits for it.
func TestANodeThatComesLate(t *testing.T) {
	need(t)
	fleet(t, "late", "node-c", "arena-late", 1, "")
	e2e.registry.Throttle(8 << 20) // so that there is a time when it is cold
	defer e2e.registry.Throttle(0)
	c, err := e2e.AddNode(t.Context(), cluster.NodeOptions{
		Name: "node-c", Disk: 1 << 30, Taints: []corev1.Taint{{Key: v1alpha1.ColdTaint, Effect: corev1.TaintEffectNoSchedule}},
		Kubelet: map[string]any{
			"evictionHard":                     map[string]string{"imagefs.available": "25%", "memory.available": "50Mi"},
			"evictionPressureTransitionPeriod": "5s", "imageMinimumGCAge": "1s",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := e2e.Kubectl(withoutCancel(t), "delete", "fleet", "late", "--cascade=foreground", "--timeout=60s"); err != nil {
			t.Error(err) // while there is a kubelet that ends its pod
		}
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
		if _, err := e2e.Kubectl(withoutCancel(t), "delete", "node", "node-c"); err != nil {
			t.Error(err)
		}
	})
	t.Run("it is given no server before it is warm", func(t *testing.T) {
		until(t, "the end of the taint", func() error {
			node := &corev1.Node{}
			if err := e2e.Get(t.Context(), types.NamespacedName{Name: "node-c"}, node); err != nil {
				return err
			}
			for _, taint := range node.Spec.Taints {
				if taint.Key == v1alpha1.ColdTaint {
					if pod := anyPod(t, "late"); pod.Spec.NodeName != "" {
						t.Fatal("there is a server on a cold node")
					}
					return fmt.Errorf("it is there: %v", node.Spec.Taints)
				}
			}
			return nil
		})
		cached := &v1alpha1.NodeCache{}
		if err := e2e.Get(t.Context(), types.NamespacedName{Name: "node-c"}, cached); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(fmt.Sprint(cached.Status.Images), "arena-late:e2e") || cached.Status.Warm != cached.Status.Wanted {
			t.Errorf("the taint is gone, and the node says %+v", cached.Status)
		}
		e2e.registry.Reset()
		readyPod(t, "late")
		if n := e2e.registry.Bytes(c); n != 0 {
			t.Errorf("%d bytes were pulled for the server: %v", n, e2e.registry.Served(c))
		}
	})
	e2e.registry.Throttle(0)
	t.Run("kubelet takes images that are not pinned when its disk is full", func(t *testing.T) { collect(t, c) })
}

// collect fills a node's disk until kubelet collects images.
func collect(t *testing.T, n *cluster.Node) {
	t.Helper()
	warmSet(t, "kept", n.Name, "arena-kept")
	defer func() { kubectl(t, "delete", "warmset", "kept") }()
	kubectl(t, "wait", "--for=condition=Warm", "warmset/kept", "--timeout=120s")
	for _, name := range []string{"arena-gone", "arena-much"} {
		pod := arena(name, n.Name, name)
		if err := e2e.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		kubectl(t, "wait", "--for=condition=Ready", "pod/"+name, "--timeout=120s")
		kubectl(t, "delete", "pod", name, "--timeout=60s")
	}
	began := time.Now()
	until(t, "kubelet's collection of arena-gone", func() error {
		images, err := n.Ctr(t.Context(), "images", "ls", "-q")
		if err == nil && strings.Contains(images, "/arena-gone:") {
			err = fmt.Errorf("there are %s", strings.ReplaceAll(images, "\n", " "))
		}
		return err
	})
	images, err := n.Ctr(t.Context(), "images", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"arena-kept", "arena-late"} {
		if !strings.Contains(images, "/"+name+":") {
			t.Errorf("%s is pinned, and gone: there are %s", name, images)
		}
	}
	until(t, "the end of the pressure", func() error {
		node := &corev1.Node{}
		if err := e2e.Get(t.Context(), types.NamespacedName{Name: n.Name}, node); err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeDiskPressure && c.Status == corev1.ConditionTrue {
				return fmt.Errorf("%s", c.Message)
			}
		}
		return nil
	})
	s, err := askAgent(t.Context(), agentOn(t, n))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range s.Images {
		if i.State != agent.Warm {
			t.Errorf("%s is %s after kubelet's collection", i.Ref, i.State)
		}
	}
	t.Logf("arena-gone was collected after %.0f s, what is pinned stayed", time.Since(began).Seconds())
}

// anyPod is the one pod of a Fleet.
func anyPod(t *testing.T, fleet string) *corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	until(t, "pod of "+fleet, func() error {
		err := e2e.List(t.Context(), &pods, client.InNamespace("default"), client.MatchingLabels{"agones.dev/fleet": fleet})
		if err == nil && len(pods.Items) == 0 {
			err = errNotYet
		}
		return err
	})
	return &pods.Items[0]
}
