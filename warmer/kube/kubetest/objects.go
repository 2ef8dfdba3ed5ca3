package kubetest

import (
	"context"
	"fmt"
	"testing"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
)

// empty deletes what tests make.
func (s *Server) empty(t testing.TB) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, o := range []client.Object{&v1alpha1.WarmSet{}, &v1alpha1.NodeCache{}, &corev1.Node{}} {
		if err := s.DeleteAllOf(ctx, o); err != nil && !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
			t.Errorf("delete every %T: %v", o, err)
		}
	}
	for _, kind := range []string{"GameServer", "GameServerSet", "Fleet"} {
		s.deleteEverywhere(ctx, t, schema.GroupVersionKind{Group: "agones.dev", Version: "v1", Kind: kind})
	}
	crds, err := agones()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range crds {
		if err := client.IgnoreNotFound(s.Delete(ctx, c)); err != nil {
			t.Errorf("delete %s: %v", c.GetName(), err)
		}
	}
	for _, c := range crds {
		if err := poll(ctx, func() error {
			if err := s.Get(ctx, client.ObjectKeyFromObject(c), c); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s is still there: %w", c.GetName(), err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

func (s *Server) deleteEverywhere(ctx context.Context, t testing.TB, kind schema.GroupVersionKind) {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind)
	if err := s.List(ctx, list); meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return
	} else if err != nil {
		t.Errorf("list every %s: %v", kind.Kind, err)
	}
	for i := range list.Items {
		if err := client.IgnoreNotFound(s.Delete(ctx, &list.Items[i])); err != nil {
			t.Errorf("delete %s: %v", list.Items[i].GetName(), err)
		}
	}
}

// Node makes one that is ready.
func (s *Server) Node(t testing.TB, name string, labels map[string]string, taints ...corev1.Taint) *corev1.Node {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.NodeSpec{Taints: taints}}
	if err := s.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if err := s.Status().Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Report writes a node's cache, as its agent would.
func (s *Server) Report(t testing.TB, n *corev1.Node, images ...v1alpha1.CachedImage) {
	t.Helper()
	c := &v1alpha1.NodeCache{ObjectMeta: metav1.ObjectMeta{Name: n.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}}}
	if err := s.Create(t.Context(), c); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	if images == nil {
		images = []v1alpha1.CachedImage{}
	}
	Eventually(t, func() error {
		if err := s.Get(t.Context(), client.ObjectKeyFromObject(n), c); err != nil {
			return err
		}
		c.Status = v1alpha1.NodeCacheStatus{Observed: true, Images: images, Wanted: int32(len(images))}
		return s.Status().Update(t.Context(), c)
	})
}

// Namespace is where the module's service accounts are.
const Namespace = "pitcrew-system"

// The module's service accounts, with the roles of config/rbac.
const (
	Agent      = "pitcrew-warmer-agent"
	Controller = "pitcrew-warmer-controller"
)

// ServiceAccount connects with a service account's token: that of a pod on a node, or with none named one that is bound to
// nothing.
func (s *Server) ServiceAccount(t testing.TB, name, node string) *rest.Config {
	t.Helper()
	request := &authv1.TokenRequest{}
	if node != "" {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, GenerateName: name + "-"},
			Spec:       corev1.PodSpec{ServiceAccountName: name, NodeName: node, AutomountServiceAccountToken: new(false), Containers: []corev1.Container{{Name: "c", Image: "r.test/none:1"}}},
		}
		if err := s.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Delete(context.WithoutCancel(t.Context()), pod, client.GracePeriodSeconds(0)) }) // its node may be gone
		request.Spec.BoundObjectRef = &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name}}
	if err := s.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return s.As(request.Status.Token)
}
