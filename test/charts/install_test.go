package charts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

// everything is on.
var everything = map[string]string{
	pitcrew: "podMonitor: {enabled: true}\nprometheusRule: {enabled: true}\ndashboard: {enabled: true}\nnetworkPolicy: {enabled: true}",
	stk:     "image: r.test/stk-server:1.4\npodMonitor: {enabled: true}\nnetworkPolicy: {enabled: true}",
}

func TestLifeInACluster(t *testing.T) {
	c := start(t)
	before := c.inventory(t)
	if !slices.Contains(before, "Namespace /"+games) || len(before) < 40 {
		t.Fatalf("the inventory has %d objects, which cannot be all: %v", len(before), before)
	}
	warm := values(t, everything[pitcrew], "crds: {keep: false}")
	fleet := values(t, everything[stk])
	for _, step := range []error{
		c.install(t, "pitcrew", system, load(t, pitcrew), warm),
		c.install(t, "stk", games, load(t, stk), fleet),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	installed := c.inventory(t)
	deployment := &unstructured.Unstructured{Object: object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"namespace": system, "name": "pitcrew-warmer-controller"}}}
	server := &unstructured.Unstructured{Object: object{"apiVersion": "agones.dev/v1", "kind": "Fleet", "metadata": object{"namespace": games, "name": "stk"}}}
	config := &unstructured.Unstructured{Object: object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": object{"namespace": games, "name": "stk"}}}
	replicas := func() int64 {
		n, _, _ := unstructured.NestedInt64(c.get(t, deployment).Object, "spec", "replicas")
		return n
	}
	checksum := func() string {
		s, _, _ := unstructured.NestedString(c.get(t, server).Object, "spec", "template", "spec", "template", "metadata", "annotations", "checksum/config")
		return s
	}
	first := checksum()

	// An autoscaler has set a number since, which is not to be set back by any of what follows.
	scaled := c.get(t, server)
	if err := unstructured.SetNestedField(scaled.Object, int64(7), "spec", "replicas"); err != nil {
		t.Fatal(err)
	}
	if err := c.Update(t.Context(), scaled, client.FieldOwner("agones")); err != nil {
		t.Fatal(err)
	}

	c.upgrade(t, "pitcrew", system, load(t, pitcrew), values(t, everything[pitcrew], "crds: {keep: false}\ncontroller: {replicas: 3, podDisruptionBudget: {enabled: false}}\nagent: {architectures: {amd64: {enabled: false}}}"))
	c.upgrade(t, "stk", games, load(t, stk), values(t, everything[stk], "image: r.test/stk-server:1.5\nserverConfig: {server-mode: 4}\nnetworkPolicy: {enabled: false}"))
	if n := replicas(); n != 3 {
		t.Errorf("%d controllers after the upgrade, want 3", n)
	}
	c.missing(t, kind("apps/v1", "DaemonSet"), system, "pitcrew-warmer-agent-amd64")
	c.missing(t, kind("policy/v1", "PodDisruptionBudget"), system, "pitcrew-warmer-controller")
	c.missing(t, kind("networking.k8s.io/v1", "NetworkPolicy"), games, "stk")
	if checksum() == first {
		t.Error("another configuration did not change the Fleet's template")
	}
	if data, _, _ := unstructured.NestedString(c.get(t, config).Object, "data", "server_config.xml"); !strings.Contains(data, `<server-mode value="4"/>`) {
		t.Errorf("the configuration is %s", data)
	}

	c.rollback(t, "pitcrew", system, 1)
	c.rollback(t, "stk", games, 1)
	if n := replicas(); n != 2 {
		t.Errorf("%d controllers after the rollback, want 2", n)
	}
	if checksum() != first {
		t.Error("the Fleet's template is not the first one after the rollback")
	}
	if n, _, _ := unstructured.NestedInt64(c.get(t, server).Object, "spec", "replicas"); n != 7 {
		t.Errorf("%d servers, want the autoscaler's 7", n)
	}
	c.wantOnly(t, installed, slices.Concat(releases("pitcrew", system, 2, 3), releases("stk", games, 2, 3))...)

	c.uninstall(t, "stk", games)
	c.uninstall(t, "pitcrew", system)
	c.wantOnly(t, before)
}

// releases are the Secrets in which Helm keeps versions.
func releases(name, namespace string, versions ...int) (out []string) {
	for _, v := range versions {
		out = append(out, fmt.Sprintf("Secret %s/sh.helm.release.v1.%s.v%d", namespace, name, v))
	}
	return out
}

func kind(version, name string) schema.GroupVersionKind {
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		panic(err)
	}
	return gv.WithKind(name)
}

// Old CRDs become new ones by an upgrade; kept ones are taken up again.
func TestCRDsAreUpgradedAndKept(t *testing.T) {
	c := start(t)
	before := c.inventory(t)
	old := load(t, pitcrew)
	dropColumn(t, old)
	if err := c.install(t, "pitcrew", system, old, nil); err != nil {
		t.Fatal(err)
	}
	warmsets := &unstructured.Unstructured{Object: object{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": object{"name": "warmsets.pitcrew.dev"}}}
	columns := func() int {
		versions, _, _ := unstructured.NestedSlice(c.get(t, warmsets).Object, "spec", "versions")
		return len(list(versions[0].(object)["additionalPrinterColumns"]))
	}
	was := columns()
	set := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Spec: v1alpha1.WarmSetSpec{Images: []v1alpha1.WantedImage{{Ref: "r.test/x:1"}}}}
	kubetest.Eventually(t, func() error { return c.Create(t.Context(), set) })
	c.upgrade(t, "pitcrew", system, load(t, pitcrew), nil)
	if now := columns(); now != was+1 {
		t.Errorf("WarmSets have %d columns after the upgrade, had %d", now, was)
	}

	c.uninstall(t, "pitcrew", system)
	kept := []string{"APIService /v1alpha1.pitcrew.dev", "CustomResourceDefinition /nodecaches.pitcrew.dev", "CustomResourceDefinition /warmsets.pitcrew.dev", "WarmSet /mine"}
	c.wantOnly(t, before, kept...)
	if err := c.install(t, "other", system, load(t, pitcrew), nil); err == nil || !strings.Contains(err.Error(), "invalid ownership metadata") {
		t.Errorf("another release takes the CRDs: %v", err)
	}
	if err := c.install(t, "pitcrew", system, load(t, pitcrew), nil); err != nil {
		t.Fatalf("the same release again: %v", err)
	}
	c.upgrade(t, "pitcrew", system, load(t, pitcrew), values(t, "crds: {keep: false}"))
	c.uninstall(t, "pitcrew", system)
	c.wantOnly(t, before)
}

// dropColumn takes the last printer column from the chart's WarmSet.
func dropColumn(t *testing.T, ch *chart.Chart) {
	t.Helper()
	for _, f := range ch.Files {
		if f.Name == "files/crd/pitcrew.dev_warmsets.yaml" {
			column := []byte("    - jsonPath: .metadata.creationTimestamp\n      name: Age\n      type: date\n")
			if bytes.Count(f.Data, column) != 1 {
				t.Fatal("the CRD has no such column")
			}
			f.Data = bytes.Replace(f.Data, column, nil, 1)
			return
		}
	}
	t.Fatal("the chart has no such file")
}

// The server's own types and rules take each manifest of each case, whose fields it all knows, and Pod Security's admission the
// pods.
func TestTheServerTakesEveryManifest(t *testing.T) {
	c := start(t)
	if err := c.install(t, "pitcrew", system, load(t, pitcrew), values(t, "crds: {keep: false}")); err != nil { // what pods name has to be there
		t.Fatal(err)
	}
	defer c.uninstall(t, "pitcrew", system)
	for _, namespace := range []string{system, games} {
		c.make(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}})
	}
	every(t, func(t *testing.T, name string, r *release) {
		t.Helper()
		namespace := map[string]string{pitcrew: system, stk: games}[name]
		for _, o := range r.objects {
			if o.GetNamespace() != "" {
				o.SetNamespace(namespace)
			}
			if err := c.Create(t.Context(), o.DeepCopy(), client.DryRunAll, client.FieldValidation("Strict")); err != nil && !apierrors.IsAlreadyExists(err) {
				t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
			}
		}
		for owner, template := range pods(t, r) {
			pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: template.Spec}
			pod.Namespace, pod.GenerateName = namespace, "p-"
			if pod.Spec.PriorityClassName != "pitcrew-warmer-agent" {
				pod.Spec.PriorityClassName = ""
			}
			if name == stk {
				pod.Spec.RestartPolicy = corev1.RestartPolicyNever // as Agones sets it
			}
			err := c.Create(t.Context(), pod, client.DryRunAll, client.FieldValidation("Strict"))
			if strings.HasSuffix(t.Name(), "/rate_limit") {
				if err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
					t.Errorf("%s: %v, want that Pod Security refuses it", owner, err)
				}
			} else if err != nil {
				t.Errorf("%s: %v", owner, err)
			}
		}
	})
}

// The controller, with the arguments and the service account that the chart gives it, serves the chart's probes and makes a WarmSet
// of the other chart's Fleet.
func TestTheControllerWorksAsInstalled(t *testing.T) {
	c := start(t)
	before := c.inventory(t)
	if err := c.install(t, "pitcrew", system, load(t, pitcrew), values(t, "crds: {keep: false}\ncontroller: {fleetsIn: [games]}")); err != nil {
		t.Fatal(err)
	}
	if err := c.install(t, "stk", games, load(t, stk), values(t, required[stk], "warm: {nextImages: ['r.test/stk-server:1.5']}\nplacement: {architectures: [arm64]}")); err != nil {
		t.Fatal(err)
	}
	c.Node(t, "graviton", map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"})
	c.Node(t, "intel", map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"})

	template := as2(t, pitcrew, "pitcrew-warmer-controller")
	controller := container(t, template.Spec.Containers, "controller")
	ports := map[string]string{"--listen=": address(t), "--probes=": address(t)}
	args := slices.Clone(controller.Args)
	for i, a := range args {
		for flag, own := range ports { // the chart's are the same in every pod, and this machine is one
			if strings.HasPrefix(a, flag) {
				args[i] = flag + own
			}
		}
		if a == "--lease-namespace=ns" {
			args[i] = "--lease-namespace=" + system
		}
	}
	account := c.Kubeconfig(t, c.ServiceAccount(t, template.Spec.ServiceAccountName, "graviton"))
	stop := background(t, program(t, "warmer"), append(args, "--fleets-in=games", "--kubeconfig="+account)...)

	for _, probe := range []*corev1.Probe{controller.LivenessProbe, controller.ReadinessProbe} {
		kubetest.Eventually(t, func() error { return ok("http://" + ports["--probes="] + probe.HTTPGet.Path) })
	}
	kubetest.Eventually(t, func() error { return ok("http://" + ports["--listen="] + "/metrics") })
	kubetest.Eventually(t, func() error {
		set := &v1alpha1.WarmSet{}
		if err := c.Get(t.Context(), client.ObjectKey{Name: "games.stk"}, set); err != nil {
			return err
		}
		var refs []string
		for _, i := range set.Spec.Images {
			refs = append(refs, i.Ref)
		}
		if want := []string{"ghcr.io/pitcrew-dev/sidecar:0.1.0", "r.test/stk-server:1.4", "r.test/stk-server:1.5"}; !slices.Equal(refs, want) {
			return fmt.Errorf("it has %v, want %v", refs, want)
		}
		if set.Status.Nodes.Desired != 1 {
			return fmt.Errorf("it is for %d nodes, want the one of arm64", set.Status.Nodes.Desired)
		}
		return nil
	})
	c.uninstall(t, "stk", games)
	kubetest.Eventually(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKey{Name: "games.stk"}, &v1alpha1.WarmSet{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the WarmSet of a Fleet that went: %w", errors.Join(err))
		}
		return nil
	})
	stop()
	for _, n := range []string{"graviton", "intel"} {
		if err := c.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}}); err != nil {
			t.Error(err)
		}
	}
	c.uninstall(t, "pitcrew", system)
	if err := c.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(system), client.GracePeriodSeconds(0)); err != nil { // the one that the token was for
		t.Error(err)
	}
	c.wantOnly(t, before)
}

// address is a free one of this machine.
func address(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// background starts a program and returns what ends it, which the end of the test does, too.
func background(t *testing.T, name string, args ...string) (stop func()) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", filepath.Base(name), err)
		}
		if t.Failed() {
			t.Logf("%s %v:\n%s", filepath.Base(name), args, log.String())
		}
	})
	t.Cleanup(stop)
	return stop
}

// ok asks for an answer of 200.
func ok(url string) error {
	resp, err := web.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %s: %w", url, resp.Status, body, errors.Join(err))
	}
	return nil
}

// web keeps no connection.
var web = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
