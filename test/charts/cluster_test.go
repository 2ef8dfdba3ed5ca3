package charts_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

const (
	system = "pitcrew-system"
	games  = "games"
)

// cluster is a real API server with Agones' and the Prometheus operator's CRDs, and the two namespaces at the levels of Pod Security
// that the charts ask for.
type cluster struct {
	*kubetest.Server
	kubeconfig string
}

func start(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{Server: kubetest.StartBare(t)}
	c.InstallAgones(t)
	c.kubeconfig = c.Kubeconfig(t, c.Config())
	raw, err := os.ReadFile("testdata/crds/others.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decode(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		c.make(t, o)
		kubetest.Eventually(t, func() error {
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
			if !slices.ContainsFunc(conditions, func(v any) bool { return v.(object)["type"] == "Established" && v.(object)["status"] == "True" }) {
				return fmt.Errorf("%s is not served", o.GetName())
			}
			return nil
		})
	}
	for name, level := range map[string]string{system: "privileged", games: "restricted"} {
		c.make(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": level}}})
	}
	return c
}

// make creates an object for the rest of the test. A namespace of another test may still be going: nobody finishes that here.
func (c *cluster) make(t *testing.T, o client.Object) {
	t.Helper()
	err := c.Create(t.Context(), o)
	if _, namespace := o.(*corev1.Namespace); err != nil && !(namespace && apierrors.IsAlreadyExists(err)) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, namespace := o.(*corev1.Namespace); namespace { // without the controller that empties namespaces none ever goes
			return
		}
		ctx := context.WithoutCancel(t.Context())
		if err := c.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

// helm is how Helm reaches the cluster in a namespace.
func (c *cluster) helm(t *testing.T, namespace string) *action.Configuration {
	t.Helper()
	f := genericclioptions.NewConfigFlags(true).WithDiscoveryQPS(-1)
	f.KubeConfig, f.Namespace, f.CacheDir = &c.kubeconfig, &namespace, new(t.TempDir())
	out := action.NewConfiguration()
	if err := out.Init(f, namespace, "secret"); err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *cluster) install(t *testing.T, name, namespace string, ch *chart.Chart, v map[string]any) error {
	t.Helper()
	i := action.NewInstall(c.helm(t, namespace))
	i.ReleaseName, i.Namespace, i.WaitStrategy, i.Timeout = name, namespace, kube.HookOnlyStrategy, time.Minute
	_, err := i.RunWithContext(t.Context(), ch, v)
	return err
}

func (c *cluster) upgrade(t *testing.T, name, namespace string, ch *chart.Chart, v map[string]any) {
	t.Helper()
	u := action.NewUpgrade(c.helm(t, namespace))
	u.Namespace, u.WaitStrategy, u.Timeout = namespace, kube.HookOnlyStrategy, time.Minute
	if _, err := u.RunWithContext(t.Context(), name, ch, v); err != nil {
		t.Fatalf("upgrade %s: %v", name, err)
	}
}

func (c *cluster) rollback(t *testing.T, name, namespace string, version int) {
	t.Helper()
	r := action.NewRollback(c.helm(t, namespace))
	r.Version, r.WaitStrategy, r.Timeout = version, kube.HookOnlyStrategy, time.Minute
	if err := r.Run(name); err != nil {
		t.Fatalf("roll back %s: %v", name, err)
	}
}

func (c *cluster) uninstall(t *testing.T, name, namespace string) {
	t.Helper()
	u := action.NewUninstall(c.helm(t, namespace))
	u.WaitStrategy, u.Timeout = kube.HookOnlyStrategy, time.Minute
	if _, err := u.Run(name); err != nil {
		t.Fatalf("uninstall %s: %v", name, err)
	}
	// A CRD goes when its objects have gone, and the next release may not come before.
	kubetest.Eventually(t, func() error {
		crds := &unstructured.UnstructuredList{}
		crds.SetGroupVersionKind(kind("apiextensions.k8s.io/v1", "CustomResourceDefinition"))
		if err := c.List(t.Context(), crds); err != nil {
			return err
		}
		for i := range crds.Items {
			if crds.Items[i].GetDeletionTimestamp() != nil {
				return fmt.Errorf("%s is still going", crds.Items[i].GetName())
			}
		}
		return nil
	})
}

// inventory is every object of every kind that the API server knows, but for events and what the server keeps for itself.
func (c *cluster) inventory(t *testing.T) []string {
	t.Helper()
	config := c.Config()
	config.WarningHandler = rest.NoWarnings{} // of kinds that are deprecated, which count all the same
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	lists, err := d.ServerPreferredResources()
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range l.APIResources {
			if !slices.Contains(r.Verbs, "list") || r.Kind == "Event" || r.Kind == "Lease" || r.Kind == "IPAddress" {
				continue
			}
			objects, err := dyn.Resource(gv.WithResource(r.Name)).List(t.Context(), metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) { // a CRD that goes at this moment
				continue
			} else if err != nil {
				t.Fatalf("list %s: %v", r.Name, err)
			}
			for i := range objects.Items {
				o := &objects.Items[i]
				out = append(out, fmt.Sprintf("%s %s/%s", r.Kind, o.GetNamespace(), o.GetName()))
			}
		}
	}
	slices.Sort(out)
	return out
}

// wantOnly says that the cluster has what it had, and what is named.
func (c *cluster) wantOnly(t *testing.T, before []string, also ...string) {
	t.Helper()
	want := slices.Sorted(slices.Values(slices.Concat(before, also)))
	kubetest.Eventually(t, func() error {
		got := c.inventory(t)
		var more, less []string
		for _, o := range got {
			if !slices.Contains(want, o) {
				more = append(more, o)
			}
		}
		for _, o := range want {
			if !slices.Contains(got, o) {
				less = append(less, o)
			}
		}
		if len(more)+len(less) > 0 {
			return fmt.Errorf("there is also %s; there is no %s", strings.Join(more, ", "), strings.Join(less, ", "))
		}
		return nil
	})
}

// get is an object of the cluster.
func (c *cluster) get(t *testing.T, of *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(of.GroupVersionKind())
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(of), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// missing says that an object is not there.
func (c *cluster) missing(t *testing.T, kind schema.GroupVersionKind, namespace, name string) {
	t.Helper()
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o); !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		t.Errorf("%s %s/%s: %v, want that it is not there", kind.Kind, namespace, name, err)
	}
}
