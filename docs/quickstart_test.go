package docs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pitcrew-dev/pitcrew/internal/distributiontest"
	"github.com/pitcrew-dev/pitcrew/internal/worktreetest"
	"github.com/pitcrew-dev/pitcrew/warmer/containerd/containerdtest"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
)

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m)) }

const (
	quickstart = "quickstart-eks.md"
	// onAWS begins a block that needs a cluster on AWS.
	onAWS = "# on AWS\n"
	// system is the namespace of the document's release.
	system = "pitcrew-system"
)

var fence = regexp.MustCompile("(?s)\n```sh\n(.*?)```\n")

// blocks are the commands of a document.
func blocks(t *testing.T, name string) (local, aws []string) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatch(string(raw), -1) {
		if strings.HasPrefix(m[1], onAWS) {
			aws = append(aws, m[1])
		} else {
			local = append(local, m[1])
		}
	}
	if len(local) == 0 || len(aws) == 0 {
		t.Fatalf("%s has %d local blocks and %d for AWS", name, len(local), len(aws))
	}
	return local, aws
}

func TestTheQuickstartsCommandsAreShell(t *testing.T) {
	local, aws := blocks(t, quickstart)
	for _, block := range slices.Concat(local, aws) {
		cmd := exec.CommandContext(t.Context(), "bash", "-n")
		cmd.Stdin = strings.NewReader(block)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, block)
		}
	}
}

// TestTheQuickstartRuns runs the document's own commands, all that do not need AWS, in a clone, with the real helm and kubectl.
// What a cluster would do besides is done here: of the nodes' kubelets as much as starts agent and controller as the chart's pod
// templates say, with the tokens of their service accounts.
func TestTheQuickstartRuns(t *testing.T) {
	c := newCluster(t)
	local, _ := blocks(t, quickstart)
	// after looks at what a command has done.
	after := map[string]func(){
		"helm install pitcrew": c.runPods,
		"warmer status":        func() { c.wantWarm("1.4.0"); c.wantNoTaint() },
		"helm upgrade stk":     func() { c.wantWarm("1.4.1"); c.wantFleet("1.4.1") },
		"helm rollback stk":    func() { c.wantFleet("1.4.0") },
		"kubectl delete crd":   c.wantNothing,
	}
	for _, block := range local {
		c.sh(block)
		for command, look := range after {
			if strings.Contains(block, command) {
				look()
				delete(after, command)
			}
		}
	}
	for command := range after {
		t.Errorf("no block has %q", command)
	}
}

// cluster is an API server, a node's containerd, a registry, and a shell for somebody who follows the document.
type cluster struct {
	*testing.T
	api      *kubetest.Server
	node     *containerdtest.Daemon
	registry string
	tree     string
	env      []string
	vars     string // file with what blocks exported
}

const nodeName = "graviton-or-intel"

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("needs apt-get, which the game's packages come by")
	}
	c := &cluster{T: t, api: kubetest.StartBare(t), node: containerdtest.Start(t)}
	c.registry = distributiontest.Start(t)
	c.node.PlainHTTP(c.registry)
	c.tree, _ = worktreetest.Commit(t, "..")
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	c.run(exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join(root, "test/release"), "-o", tools, "helm.sh/helm/v4/cmd/helm"))
	c.vars = filepath.Join(t.TempDir(), "vars")
	c.env = append(os.Environ(),
		"PATH="+strings.Join([]string{tools, os.Getenv(kubetest.Env), os.Getenv("PATH")}, ":"),
		"KUBECONFIG="+c.api.Kubeconfig(t, c.api.Config()), "HELM_CONFIG_HOME="+tools, "HELM_CACHE_HOME="+tools, "HELM_DATA_HOME="+tools,
		"REGISTRY="+c.registry+"/pitcrew", "PITCREW_PLAIN_HTTP=true",
		"PITCREW_CACHE_DIR="+filepath.Join(root, ".cache/demo/builder"), // make demo's, so that packages are fetched once
	)
	c.api.InstallAgones(t)
	c.autoscalers()
	c.api.Node(t, nodeName, map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": runtime.GOARCH, "games": "true"},
		corev1.Taint{Key: "games", Value: "true", Effect: corev1.TaintEffectNoSchedule},
		corev1.Taint{Key: "pitcrew.dev/cold", Value: "true", Effect: corev1.TaintEffectNoSchedule})
	return c
}

// sh runs a block as the shell would that ran the blocks before it.
func (c *cluster) sh(block string) {
	c.Helper()
	c.Logf("$ %s", block)
	script := "set -euo pipefail\n[ ! -e \"$VARS\" ] || . \"$VARS\"\n" + block + "\nexport -p >\"$VARS\"\n"
	cmd := exec.CommandContext(c.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Env = c.tree, append(c.env, "VARS="+c.vars)
	c.Log(c.run(cmd))
}

func (c *cluster) run(cmd *exec.Cmd) string {
	c.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with the shell end its commands
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// get reads an object.
func (c *cluster) get(apiVersion, kind, namespace, name string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	return u, c.api.Get(c.Context(), types.NamespacedName{Namespace: namespace, Name: name}, u)
}

func (c *cluster) must(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	c.Helper()
	u, err := c.get(apiVersion, kind, namespace, name)
	if err != nil {
		c.Fatalf("%s %s/%s: %v", kind, namespace, name, err)
	}
	return u
}

// runPods starts what the release's pod templates say.
func (c *cluster) runPods() {
	c.Helper()
	daemons := c.must("apps/v1", "DaemonSet", system, "pitcrew-warmer-agent-"+runtime.GOARCH)
	c.start(daemons, c.api.Kubeconfig(c, c.api.ServiceAccount(c, kubetest.Agent, nodeName)),
		"--containerd="+c.node.Socket, "--containerd-root="+c.node.Root, "--hosts-dir="+c.node.Hosts(), "--disk-floor-percent=1", "--listen=127.0.0.1:0")
	controllers := c.must("apps/v1", "Deployment", system, "pitcrew-warmer-controller")
	c.start(controllers, c.api.Kubeconfig(c, c.api.ServiceAccount(c, kubetest.Controller, "")), "--listen=127.0.0.1:0", "--probes=127.0.0.1:0", "--discover=1s")
}

// start runs the container of a pod template until the test ends; more flags say what is different here from a node.
func (c *cluster) start(of *unstructured.Unstructured, kubeconfig string, more ...string) {
	c.Helper()
	containers, _, err := unstructured.NestedSlice(of.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		c.Fatalf("%s has %d containers (%v), want one", of.GetName(), len(containers), err)
	}
	container, _ := containers[0].(map[string]any)
	if image, _ := container["image"].(string); !strings.HasPrefix(image, c.registry+"/pitcrew/warmer:") {
		c.Errorf("%s runs the image %q, want the one that make images pushed", of.GetName(), image)
	} else {
		c.sh("builder verify " + image)
	}
	args, _, err := unstructured.NestedStringSlice(container, "args")
	if err != nil {
		c.Fatal(err)
	}
	for i := range args {
		args[i] = strings.NewReplacer("$(NODE_NAME)", nodeName, "$(POD_NAMESPACE)", system).Replace(args[i])
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context()))
	cmd := exec.CommandContext(ctx, filepath.Join(c.tree, "bin/warmer"), append(append(args, "--kubeconfig="+kubeconfig), more...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = []string{"HOME=" + c.TempDir(), "PATH=" + os.Getenv("PATH")}
	var said bytes.Buffer // read when it has ended
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // the signal is its end
		if c.Failed() {
			c.Logf("%s %q:\n%s", of.GetName(), args, &said)
		}
	})
}

// wantWarm has containerd's own client, as kubelet's, find the image.
func (c *cluster) wantWarm(tag string) {
	c.Helper()
	c.sh(fmt.Sprintf("warmer verify --containerd %s $REGISTRY/stk-server:%s", c.node.Socket, tag))
}

func (c *cluster) wantNoTaint() {
	c.Helper()
	kubetest.Eventually(c, func() error {
		n := &corev1.Node{}
		if err := c.api.Get(c.Context(), types.NamespacedName{Name: nodeName}, n); err != nil {
			return err
		}
		for _, taint := range n.Spec.Taints {
			if taint.Key == "pitcrew.dev/cold" {
				return errors.New("the node is warm and has the taint still")
			}
		}
		return nil
	})
}

func (c *cluster) wantFleet(tag string) {
	c.Helper()
	fleet := c.must("agones.dev/v1", "Fleet", "games", "stk")
	containers, _, err := unstructured.NestedSlice(fleet.Object, "spec", "template", "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		c.Fatalf("the Fleet has %d containers (%v), want one", len(containers), err)
	}
	container, _ := containers[0].(map[string]any)
	if want := c.registry + "/pitcrew/stk-server:" + tag; container["image"] != want {
		c.Errorf("the Fleet's image is %v, want %s", container["image"], want)
	}
}

// wantNothing looks for what the releases should have taken with them.
func (c *cluster) wantNothing() {
	c.Helper()
	for _, kind := range []metav1.TypeMeta{
		{APIVersion: "apps/v1", Kind: "DaemonSetList"},
		{APIVersion: "apps/v1", Kind: "DeploymentList"},
		{APIVersion: "agones.dev/v1", Kind: "FleetList"},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleList"},
		{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBindingList"},
		{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicyList"},
		{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinitionList"},
	} {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(kind.APIVersion)
		list.SetKind(kind.Kind)
		if err := c.api.List(c.Context(), list); err != nil {
			c.Errorf("list %s: %v", kind.Kind, err)
		}
		for _, u := range list.Items {
			if u.GetKind() == "Fleet" || strings.Contains(u.GetName(), "pitcrew") {
				c.Errorf("%s %s is left", u.GetKind(), u.GetName())
			}
		}
	}
}

// autoscalers brings the one CRD of Agones that the Fleet's chart needs and a warmer does not.
func (c *cluster) autoscalers() {
	c.Helper()
	c.sh(`kubectl get crd fleetautoscalers.autoscaling.agones.dev >/dev/null 2>&1 || kubectl create -f - <<EOF
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleetautoscalers.autoscaling.agones.dev}
spec:
  group: autoscaling.agones.dev
  scope: Namespaced
  names: {kind: FleetAutoscaler, plural: fleetautoscalers, singular: fleetautoscaler}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
EOF
kubectl wait --for=condition=Established crd/fleetautoscalers.autoscaling.agones.dev >/dev/null`)
}
