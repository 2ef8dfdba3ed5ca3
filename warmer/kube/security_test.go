package kube_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

func cacheOf(n *corev1.Node) *v1alpha1.NodeCache {
	return &v1alpha1.NodeCache{ObjectMeta: metav1.ObjectMeta{
		Name: n.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}},
	}}
}

func as(t *testing.T, c *kube.Cluster) client.Client {
	t.Helper()
	out, err := kube.Client(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantRefused says that something must not be done. A policy needs a moment until it counts.
func wantRefused(t *testing.T, why string, do func() error) {
	t.Helper()
	kubetest.Eventually(t, func() error {
		err := do()
		if err == nil || !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), why) {
			return fmt.Errorf("it was answered with %w, want a refusal that says %q", errors.Join(err), why)
		}
		return nil
	})
}

func TestAnAgentWritesItsOwnNodeCacheOnly(t *testing.T) {
	s := kubetest.Start(t)
	mine, other := s.Node(t, "mine", nil), s.Node(t, "other", nil)
	s.Report(t, other)
	agent := as(t, s.ServiceAccount(t, kubetest.Agent, "mine"))
	ctx := t.Context()

	wantRefused(t, "of another node", func() error {
		third := s.Node(t, fmt.Sprintf("third-%d", len(t.Name())), nil)
		defer func() { _ = s.Delete(ctx, third) }() // for another try
		c := cacheOf(third)
		err := agent.Create(ctx, c)
		if err == nil {
			_ = s.Delete(ctx, c) // for another try
		}
		return err
	})
	cache := cacheOf(mine)
	if err := agent.Create(ctx, cache); err != nil {
		t.Fatalf("its own: %v", err)
	}
	cache.Status = v1alpha1.NodeCacheStatus{Observed: true}
	if err := agent.Status().Update(ctx, cache); err != nil {
		t.Fatalf("its own status: %v", err)
	}
	t.Run("not another's status", func(t *testing.T) {
		wantRefused(t, "of another node", func() error {
			c := &v1alpha1.NodeCache{}
			if err := s.Get(ctx, client.ObjectKeyFromObject(other), c); err != nil {
				return err
			}
			c.Status.Warm = 7
			return agent.Status().Update(ctx, c)
		})
	})
	t.Run("nor may it delete another's", func(t *testing.T) {
		wantRefused(t, "of another node", func() error { return agent.Delete(ctx, cacheOf(other)) })
	})
	t.Run("not its own spec", func(t *testing.T) {
		wantRefused(t, "cannot update resource", func() error {
			c := cache.DeepCopy()
			c.Spec.Players = 1
			return agent.Update(ctx, c)
		})
	})
	if err := agent.Delete(ctx, cache); err != nil {
		t.Fatalf("delete its own: %v", err)
	}
	t.Run("not even when it makes it", func(t *testing.T) {
		wantRefused(t, "belongs to its Node", func() error {
			c := cacheOf(mine)
			c.Spec.Players = 1
			return agent.Create(ctx, c)
		})
		wantRefused(t, "belongs to its Node", func() error {
			c := cacheOf(mine)
			c.OwnerReferences = nil
			return agent.Create(ctx, c)
		})
	})
	t.Run("a token that is bound to no pod is not an agent's", func(t *testing.T) {
		loose := as(t, s.ServiceAccount(t, kubetest.Agent, ""))
		wantRefused(t, "names no node", func() error { return loose.Create(ctx, cacheOf(mine)) })
	})
}

func TestWhatNeitherMayDo(t *testing.T) {
	s := kubetest.Start(t)
	n := s.Node(t, "n", nil)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: kubetest.Namespace, Name: "token"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "r.test/x:1"}}}}
	set := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: v1alpha1.WarmSetSpec{Images: []v1alpha1.WantedImage{{Ref: "r.test/x:1"}}}}
	agent, controller := as(t, s.ServiceAccount(t, kubetest.Agent, "n")), as(t, s.ServiceAccount(t, kubetest.Controller, ""))
	ctx := t.Context()
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"an agent reads no secrets", func() error { return agent.Get(ctx, client.ObjectKeyFromObject(secret), secret) }},
		{"an agent changes no nodes", func() error {
			return agent.Patch(ctx, n, client.RawPatch("application/merge-patch+json", []byte(`{}`)))
		}},
		{"an agent makes no WarmSets", func() error { return agent.Create(ctx, set) }},
		{"an agent makes no pods", func() error { return agent.Create(ctx, pod) }},
		{"a controller reads no secrets", func() error { return controller.List(ctx, &corev1.SecretList{}) }},
		{"a controller makes no pods", func() error { return controller.Create(ctx, pod) }},
		{"a controller deletes no nodes", func() error { return controller.Delete(ctx, n) }},
		{"a controller writes no NodeCache's status", func() error { return controller.Status().Update(ctx, cacheOf(n)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(); !apierrors.IsForbidden(err) {
				t.Errorf("it was answered with %v, want a refusal", err)
			}
		})
	}
}
