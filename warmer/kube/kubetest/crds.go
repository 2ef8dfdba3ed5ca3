package kubetest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

//go:embed agones.yaml
var agonesCRDs []byte

// ours are the module's CRDs.
func ours() ([]*unstructured.Unstructured, error) { return read("config/crd/*.yaml") }

func agones() ([]*unstructured.Unstructured, error) { return decode(agonesCRDs) }

// read decodes files of the module by a pattern.
func read(pattern string) ([]*unstructured.Unstructured, error) {
	root, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(root, "go.mod")); missing == nil {
			break
		}
		if root == filepath.Dir(root) {
			return nil, errors.New("no go.mod above the working directory")
		}
		root = filepath.Dir(root)
	}
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("nothing matches %s: %w", pattern, err)
	}
	var out []*unstructured.Unstructured
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		some, err := decode(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		out = append(out, some...)
	}
	return out, nil
}

func decode(raw []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096); ; {
		u := &unstructured.Unstructured{}
		switch err := d.Decode(u); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		case len(u.Object) > 0:
			out = append(out, u)
		}
	}
}

// install makes CRDs and waits until they are served.
func (s *Server) install(ctx context.Context, list func() ([]*unstructured.Unstructured, error)) error {
	crds, err := list()
	if err != nil {
		return err
	}
	for _, c := range crds {
		if err := s.Create(ctx, c.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return poll(ctx, func() error {
		for _, c := range crds {
			got := &unstructured.Unstructured{}
			got.SetGroupVersionKind(c.GroupVersionKind())
			if err := s.Get(ctx, client.ObjectKeyFromObject(c), got); err != nil {
				return err
			}
			if !established(got) {
				return fmt.Errorf("%s is not served", c.GetName())
			}
		}
		return nil
	})
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions") // none yet
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
			return true
		}
	}
	return false
}

// InstallAgones brings Agones' CRDs for the rest of the test.
func (s *Server) InstallAgones(t testing.TB) {
	t.Helper()
	if err := s.install(t.Context(), agones); err != nil {
		t.Fatal(err)
	}
}

// permit applies the module's roles and policies.
func (s *Server) permit(ctx context.Context) error {
	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
	namespace.SetName(Namespace)
	objects, err := read("config/rbac/*.yaml")
	if err != nil {
		return err
	}
	for _, o := range append([]*unstructured.Unstructured{namespace}, objects...) {
		if err := s.Create(ctx, o); err != nil {
			return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// Eventually calls f until it returns nil, for at most half a minute.
func Eventually(t testing.TB, f func() error) {
	t.Helper()
	Within(t, 30*time.Second, f)
}

// Within is the same with another time.
func Within(t testing.TB, most time.Duration, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	if err := poll(ctx, f); err != nil {
		t.Fatal(err)
	}
}

func poll(ctx context.Context, f func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// Apply makes the objects of a file of the module for the rest of the test.
func (s *Server) Apply(t testing.TB, file string) {
	t.Helper()
	objects, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		s.Make(t, o)
	}
}

// Make makes an object for the rest of the test.
func (s *Server) Make(t testing.TB, o client.Object) {
	t.Helper()
	if err := s.Create(t.Context(), o); err != nil {
		t.Fatalf("create %s: %v", o.GetName(), err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(s.Delete(context.WithoutCancel(t.Context()), o)); err != nil {
			t.Errorf("delete %s: %v", o.GetName(), err)
		}
	})
}

// Namespaced makes a namespace for the rest of the test's program: there is nobody to end one.
func (s *Server) Namespaced(t testing.TB, name string) {
	t.Helper()
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := s.Create(t.Context(), n); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// PullSecret is one with a password of a registry's.
func PullSecret(namespace, name, registry, user, password string) *corev1.Secret {
	config := fmt.Appendf(nil, `{"auths":{%q:{"username":%q,"password":%q}}}`, registry, user, password)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: config},
	}
}
