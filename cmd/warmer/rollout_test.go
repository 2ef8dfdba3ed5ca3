package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/gate"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

// agonesStandIn makes of a Fleet's template a GameServerSet whose servers are up at once, and ends those of older ones but
// for one with players, as Agones would.
func agonesStandIn(t *testing.T, s *kubetest.Server, name string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := follow(ctx, s, name); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				t.Errorf("in Agones' place: %v", err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

func agonesList(kind string) *unstructured.UnstructuredList {
	l := &unstructured.UnstructuredList{}
	l.SetAPIVersion("agones.dev/v1")
	l.SetKind(kind)
	return l
}

func follow(ctx context.Context, s *kubetest.Server, name string) error {
	f := fleet(name, "")
	if err := s.Get(ctx, client.ObjectKeyFromObject(f), f); err != nil {
		return err
	}
	image := imageOf(f)
	set := &unstructured.Unstructured{Object: map[string]any{
		"spec":   map[string]any{"replicas": int64(2), "template": f.Object["spec"].(map[string]any)["template"]},
		"status": map[string]any{"replicas": int64(2), "readyReplicas": int64(2)},
	}}
	set.SetAPIVersion("agones.dev/v1")
	set.SetKind("GameServerSet")
	set.SetNamespace("default")
	set.SetName(name + "-" + image[strings.LastIndex(image, ":")+1:])
	set.SetLabels(map[string]string{"agones.dev/fleet": name})
	if err := s.Create(ctx, set); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	all := agonesList("GameServerSetList")
	if err := s.List(ctx, all, client.InNamespace("default"), client.MatchingLabels{"agones.dev/fleet": name}); err != nil {
		return err
	}
	for i := range all.Items {
		if x := &all.Items[i]; x.GetName() != set.GetName() {
			x.Object["status"] = map[string]any{"replicas": int64(1), "allocatedReplicas": int64(1)}
			if err := s.Update(ctx, x); err != nil {
				return err
			}
		}
	}
	return nil
}

func containersOf(f *unstructured.Unstructured) []any {
	c, _, _ := unstructured.NestedSlice(f.Object, "spec", "template", "spec", "template", "spec", "containers") // tests made them
	return c
}

// imageOf is that of the game.
func imageOf(f *unstructured.Unstructured) string {
	for _, c := range containersOf(f) {
		if c := c.(map[string]any); c["name"] == "game" {
			return c["image"].(string)
		}
	}
	return ""
}

func setContainers(t *testing.T, f *unstructured.Unstructured, containers ...any) {
	t.Helper()
	if err := unstructured.SetNestedSlice(f.Object, containers, "spec", "template", "spec", "template", "spec", "containers"); err != nil {
		t.Fatal(err)
	}
}

func container(name, image string) map[string]any {
	return map[string]any{"name": name, "image": image}
}

// warmEverywhere has one node that says it has these images.
func warmEverywhere(t *testing.T, s *kubetest.Server, refs ...string) {
	t.Helper()
	var images []v1alpha1.CachedImage
	for _, r := range refs {
		images = append(images, v1alpha1.CachedImage{Ref: r, Layers: v1alpha1.AllLayers, State: v1alpha1.ImageWarm})
	}
	s.Report(t, s.Node(t, "n", nil), images...)
}

func TestGateRollsOut(t *testing.T) {
	s := kubetest.Start(t)
	s.InstallAgones(t)
	warmEverywhere(t, s, "r.test/stk:1", "r.test/stk:2", "r.test/stk:3", "r.test/sidecar:1")
	admin := s.Kubeconfig(t, s.Config())
	background(t, "controller", "--kubeconfig", admin, "--listen", "", "--probes", "", "--discover", "100ms")
	gateOf := func(name string, more ...string) []string {
		return append([]string{"gate", "fleet/" + name, "-n", "default", "--every", "20ms", "--timeout", "1m", "--rollout"}, more...)
	}
	made := func(name string, containers ...any) *unstructured.Unstructured {
		t.Helper()
		f := fleet(name, "r.test/stk:1")
		f.Object["spec"].(map[string]any)["replicas"] = int64(2)
		if containers != nil {
			setContainers(t, f, containers...)
		}
		if err := s.Create(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	read := func(f *unstructured.Unstructured) *unstructured.Unstructured {
		t.Helper()
		if err := s.Get(t.Context(), client.ObjectKeyFromObject(f), f); err != nil {
			t.Fatal(err)
		}
		return f
	}

	t.Run("a Fleet", func(t *testing.T) {
		f := made("stk", container("side", "r.test/sidecar:1"), container("game", "r.test/stk:1"))
		f.SetAnnotations(map[string]string{v1alpha1.NextImageAnnotation: "r.test/sidecar:1", "somebody/else": "1"})
		if err := s.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		agonesStandIn(t, s, "stk")
		code, stdout, stderr := command(t, gateOf("stk", "--kubeconfig", admin, "--image", "r.test/stk:2", "--output", "json")...)
		var doc passed
		if err := json.Unmarshal([]byte(stdout), &doc); code != 0 || err != nil || !doc.Done || doc.Rollout == nil || !doc.Rollout.Done || doc.Rollout.Container != "game" || doc.Rollout.Spared != 1 {
			t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
		}
		read(f)
		want := []any{container("side", "r.test/sidecar:1"), container("game", "r.test/stk:2")}
		if got := containersOf(f); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("containers are %v, want %v", got, want)
		}
		if a := f.GetAnnotations(); a[v1alpha1.NextImageAnnotation] != "r.test/sidecar:1" || a["somebody/else"] != "1" {
			t.Errorf("annotations are %v, want what others wrote", a)
		}
	})
	t.Run("somebody else changes the Fleet at the same time", func(t *testing.T) {
		f := made("busy")
		agonesStandIn(t, s, "busy")
		edit := func(change func(*unstructured.Unstructured)) func() {
			return func() {
				kubetest.Eventually(t, func() error {
					x := fleet("busy", "")
					if err := s.Get(t.Context(), client.ObjectKeyFromObject(x), x); err != nil {
						return err
					}
					change(x)
					return s.Update(t.Context(), x)
				})
			}
		}
		config, meddler := kubetest.Meddle(s.Config(), http.MethodPatch, "/fleets/busy", edit(func(x *unstructured.Unstructured) {
			x.SetAnnotations(map[string]string{v1alpha1.NextImageAnnotation: "r.test/sidecar:1"})
		}))
		g := gateOver(t, config, "busy", "r.test/stk:2")
		if err := g.Wait(t.Context()); err != nil || meddler.Answer() != http.StatusUnprocessableEntity {
			t.Errorf("Wait = %v, after a patch that was answered with %d, want 422", err, meddler.Answer())
		}
		if got, want := read(f).GetAnnotations()[v1alpha1.NextImageAnnotation], "r.test/sidecar:1,r.test/stk:2"; got != want {
			t.Errorf("announced are %q, want %q", got, want)
		}
		config, meddler = kubetest.Meddle(s.Config(), http.MethodPatch, "/fleets/busy", edit(func(x *unstructured.Unstructured) {
			setContainers(t, x, container("new", "r.test/sidecar:1"), container("game", "r.test/stk:1"))
		}))
		g = gateOver(t, config, "busy", "r.test/stk:2")
		if err := g.Roll(t.Context(), func(gate.Rollout) {}); err != nil || meddler.Answer() != http.StatusUnprocessableEntity {
			t.Errorf("Roll = %v, after a patch that was answered with %d, want 422", err, meddler.Answer())
		}
		want := []any{container("new", "r.test/sidecar:1"), container("game", "r.test/stk:2")}
		if got := containersOf(read(f)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("containers are %v, want %v", got, want)
		}
	})
	made("two", container("a", "r.test/stk:1"), container("b", "r.test/stk:1"))
	made("silent")
	for _, c := range []struct {
		name, fleet string
		args        []string
		code        int
		says        []string
	}{
		{"two containers of the repository", "two", []string{"--image", "r.test/stk:2"}, 2, []string{"2 containers of fleet default/two", "a (r.test/stk:1)", "b (r.test/stk:1)"}},
		{"no container of the repository", "two", []string{"--image", "r.test/other:2"}, 2, []string{"no container of fleet default/two", "a (r.test/stk:1)"}},
		{"a container that is not there", "two", []string{"--image", "r.test/stk:2", "--container", "c"}, 2, []string{`no container "c"`, "a (r.test/stk:1)"}},
		{"no image", "two", nil, 2, []string{"need a Fleet and --image"}},
		{"an image that is no reference", "two", []string{"--image", "NOT ONE"}, 2, []string{"NOT ONE"}},
		{"no such Fleet", "none", []string{"--image", "r.test/stk:2"}, 2, []string{"nothing to wait for"}},
		{"servers that do not follow", "silent", []string{"--image", "r.test/stk:2", "--rollout-timeout", "300ms"}, 1, []string{"was changed to r.test/stk:2", "no GameServerSet of the new version yet", "not rolled out"}},
		{"not warm: nothing is changed", "two", []string{"--image", "r.test/stk:9", "--container", "a", "--timeout", "1s"}, 1, []string{"0 of 1 nodes", "not warm"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := command(t, append(gateOf(c.fleet, "--kubeconfig", admin), c.args...)...)
			if code != c.code || slices.ContainsFunc(c.says, func(s string) bool { return !strings.Contains(stderr, s) }) {
				t.Errorf("exit code %d, want %d and %q\n%s%s", code, c.code, c.says, stdout, stderr)
			}
		})
	}
	if got := fmt.Sprint(containersOf(read(fleet("two", "")))); strings.Count(got, "r.test/stk:1") != 2 {
		t.Errorf("Fleet two has %s, want what it had", got)
	}
	t.Run("what a pipeline needs to be allowed", func(t *testing.T) {
		f := made("allowed")
		agonesStandIn(t, s, "allowed")
		account := pipeline(t, s)
		if code, stdout, stderr := command(t, gateOf("allowed", "--kubeconfig", s.Kubeconfig(t, account), "--image", "r.test/stk:3")...); code != 0 || !strings.Contains(stdout, "rolled out") || imageOf(read(f)) != "r.test/stk:3" {
			t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
		}
	})
}

// gateOver waits for a Fleet over a connection of the test's.
func gateOver(t *testing.T, c *kube.Cluster, name, image string) *gate.Gate {
	t.Helper()
	out, err := kube.Client(c)
	if err != nil {
		t.Fatal(err)
	}
	return &gate.Gate{Client: out, Fleet: true, Namespace: "default", Name: name, Image: image, Announce: true, Percent: 100, Every: 20 * time.Millisecond}
}

// pipeline is an account with the roles of config/rbac/pipeline.yaml.
func pipeline(t *testing.T, s *kubetest.Server) *kube.Cluster {
	t.Helper()
	role := func(name string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
	}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: kubetest.Namespace, Name: "ci"}}
	for _, o := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: kubetest.Namespace, Name: "ci"}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "ci"}, RoleRef: role("pitcrew-warmer-view"), Subjects: subjects},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "ci"}, RoleRef: role("pitcrew-warmer-rollout"), Subjects: subjects},
	} {
		if err := s.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Delete(context.WithoutCancel(t.Context()), o) }) // the server ends anyway
	}
	return s.ServiceAccount(t, "ci", "")
}
