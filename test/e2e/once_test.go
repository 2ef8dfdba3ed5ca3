package e2e_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pitcrew-dev/pitcrew/test/e2e/cluster"
)

// Kubelet and the warmer want the same image at the same time: who came first fetches, the other one waits, and no byte comes
// twice.
func TestKubeletAndWarmerFetchOnce(t *testing.T) {
	need(t)
	const slow = 16 << 20
	for _, c := range []struct {
		name, arch string
		node       *cluster.Node
		first      func(t *testing.T, node string)
		second     func(t *testing.T, node string)
	}{
		{"kubelet comes first", "amd64", e2e.a, bare, wanted},
		{"the warmer comes first", "arm64", e2e.b, wanted, bare},
	} {
		t.Run(c.name, func(t *testing.T) {
			e2e.registry.Reset()
			e2e.registry.Throttle(slow)
			defer e2e.registry.Throttle(0)
			c.first(t, c.node.Name)
			until(t, "the first bytes of a layer", func() error { return underway(c.node, c.arch) })
			c.second(t, c.node.Name)
			kubectl(t, "wait", "--for=condition=Ready", "pod/once", "--timeout=120s")
			kubectl(t, "wait", "--for=condition=Warm", "warmset/once", "--timeout=120s")
			served := e2e.registry.Served(c.node)
			_, layers, err := layersOf("arena-once", c.arch)
			if err != nil {
				t.Fatal(err)
			}
			var size, sent int64
			for _, l := range layers {
				size, sent = size+l.size, sent+served[l.digest]
				// What was on its way when the other one looked may come again, and not more.
				if got := served[l.digest]; got < l.size || got > l.size+l.size/20+1<<20 {
					t.Errorf("layer %s has %d bytes, and %d were sent", l.digest, l.size, got)
				}
			}
			t.Logf("%d layers of %d bytes: %d were sent", len(layers), size, sent)
		})
	}
}

// underway says whether a part of a layer has been fetched, and not all.
func underway(n *cluster.Node, arch string) error {
	_, layers, err := layersOf("arena-once", arch)
	if err != nil {
		return err
	}
	served := e2e.registry.Served(n)
	for _, l := range layers {
		if got := served[l.digest]; l.size > 1<<20 && got > 1<<20 && got < l.size/2 {
			return nil
		}
	}
	return errNotYet
}

// bare is a pod that no Fleet has.
func bare(t *testing.T, node string) {
	t.Helper()
	pod := arena("once", node, "arena-once")
	if err := e2e.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, pod) })
}

func wanted(t *testing.T, node string) {
	t.Helper()
	warmSet(t, "once", node, "arena-once")
	t.Cleanup(func() {
		if _, err := e2e.Kubectl(withoutCancel(t), "delete", "warmset", "once"); err != nil {
			t.Error(err)
		}
	})
}

// arena is a pod of one container on a node, whatever taints that has.
func arena(name, node, image string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{"kubernetes.io/hostname": node}, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers:                    []corev1.Container{{Name: "game", Image: registry + "/" + image + ":e2e"}},
		},
	}
}

// remove deletes a pod and waits until it is gone.
func remove(t *testing.T, o *corev1.Pod) {
	t.Helper()
	if _, err := e2e.Kubectl(withoutCancel(t), "delete", "pod", o.GetName(), "-n", o.GetNamespace(), "--timeout=60s"); err != nil {
		t.Error(err)
	}
}
