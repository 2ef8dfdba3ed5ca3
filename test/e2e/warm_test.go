package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var installed struct {
	sync.Once
	done bool
}

// agentLabels are those of agents' pods.
var agentLabels = client.MatchingLabels{"app.kubernetes.io/component": "agent"}

// install brings the warmer into the cluster by its chart, and has it fetch what every game server's pod has besides the game.
func install(t *testing.T) {
	t.Helper()
	installed.Do(func() {
		helmInstall(t, "pitcrew", "pitcrew-system", values{
			"image": values{"registry": registry, "tag": "e2e"},
			"agent": values{
				"containerd": values{"hostsDir": "/var/lib/certs.d"},
				"disk":       values{"floor": "50MiB", "floorPercent": 1}, // the machine's disk is shared with others
			},
		})
		warmSet(t, "pods", "", "sidecar")
		kubectl(t, "wait", "--for=condition=Warm", "warmset/pods", "--timeout=60s")
		installed.done = true
	})
	if !installed.done {
		t.Fatal("the warmer could not be installed: see the first test")
	}
}

// manifest writes an object's YAML for kubectl.
func manifest(t *testing.T, yaml string, args ...any) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(name, fmt.Appendf(nil, yaml, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// warmSet wants images on a node, or on all.
func warmSet(t *testing.T, name, node string, images ...string) {
	t.Helper()
	selector := ""
	if node != "" {
		selector = "\n  nodeSelector: {kubernetes.io/hostname: " + node + "}"
	}
	var list strings.Builder
	for _, i := range images {
		list.WriteString("\n  - ref: " + registry + "/" + i + ":e2e")
	}
	kubectl(t, "apply", "-f", manifest(t, "apiVersion: pitcrew.dev/v1alpha1\nkind: WarmSet\nmetadata: {name: %s}\nspec:\n  tolerations: [{operator: Exists}]%s\n  images:%s\n", name, selector, list.String()))
}

// fleet makes one of arenas on a node, and deletes it after the test.
func fleet(t *testing.T, name, node, image string, replicas int, annotations string) {
	t.Helper()
	kubectl(t, "apply", "-f", manifest(t, `apiVersion: agones.dev/v1
kind: Fleet
metadata: {name: %s, namespace: default, annotations: {%s}}
spec:
  replicas: %d
  template:
    spec:
      template:
        spec:
          terminationGracePeriodSeconds: 5
          nodeSelector: {kubernetes.io/hostname: %s}
          containers:
          - name: game
            image: %s/%s:e2e
            readinessProbe: {httpGet: {port: 7777, path: /}, periodSeconds: 1}
`, name, annotations, replicas, node, registry, image))
	t.Cleanup(func() {
		if _, err := e2e.Kubectl(withoutCancel(t), "delete", "fleet", name, "--ignore-not-found", "--cascade=foreground", "--timeout=60s"); err != nil {
			t.Error(err)
		}
	})
}

// scale changes how many servers a Fleet wants.
func scale(t *testing.T, name string, replicas int) {
	t.Helper()
	kubectl(t, "patch", "fleet", name, "--type=merge", "-p", fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
}

// podOfFleet is the one pod of a Fleet once it is Ready.
func readyPod(t *testing.T, fleet string) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	until(t, "pod of "+fleet, func() error {
		pods := &corev1.PodList{}
		if err := e2e.List(t.Context(), pods, client.InNamespace("default"), client.MatchingLabels{"agones.dev/fleet": fleet}); err != nil {
			return err
		}
		for i := range pods.Items {
			for _, c := range pods.Items[i].Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					found = &pods.Items[i]
					return nil
				}
			}
		}
		return fmt.Errorf("none of %d is Ready", len(pods.Items))
	})
	return found
}

// program runs one of bin's as an administrator, and returns what it says.
func program(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), root+"/bin/"+name, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+e2e.Kubeconfig)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return string(out), err
}

// Controller and agents run from images that builder made. What a WarmSet and a Fleet want becomes warm on both nodes, and the
// tools that people have say so.
func TestImagesBecomeWarmOnEveryNode(t *testing.T) {
	need(t)
	kubectl(t, "apply", "-f", manifest(t, `apiVersion: agones.dev/v1
kind: Fleet
metadata: {name: everywhere, namespace: default}
spec:
  replicas: 0
  template: {spec: {template: {spec: {containers: [{name: game, image: "%s/arena-late:e2e"}]}}}}
`, registry))
	defer func() { kubectl(t, "delete", "fleet", "everywhere") }()
	if out, err := program(t, "warmer", "gate", "fleet/everywhere", "-n", "default", "--timeout", "2m"); err != nil || !strings.Contains(out, "warm on 2 of 2 nodes") {
		t.Errorf("warmer gate = %q, %v, want it warm on 2 of 2 nodes", out, err)
	}
	warmSet(t, "both", "", "arena-late", "sidecar")
	defer func() { kubectl(t, "delete", "warmset", "both") }()
	kubectl(t, "wait", "--for=condition=Warm", "warmset/both", "warmset/default.everywhere", "--timeout=60s")
	table := kubectl(t, "get", "warmsets")
	for _, name := range []string{"both", "default.everywhere"} {
		found := false
		for line := range strings.Lines(table) {
			f := strings.Fields(line) // name, desired, warm, failed, remaining (nothing is left out), ready, age
			found = found || len(f) > 5 && f[0] == name && f[1] == "2" && f[2] == "2" && f[3] == "0" && f[len(f)-2] == "True"
		}
		if !found {
			t.Errorf("kubectl get warmsets does not say that %s is warm on 2 of 2 nodes:\n%s", name, table)
		}
	}
	t.Log("\n" + table)
	status, err := program(t, "warmer", "status")
	if err != nil || !strings.Contains(status, "node-a") || !strings.Contains(status, "node-b") || !strings.Contains(status, "arena-late") {
		t.Errorf("warmer status: %v\n%s", err, status)
	}
	until(t, "labels of the nodes", func() error {
		out, err := e2e.Kubectl(t.Context(), "get", "nodes", "-l", "pitcrew.dev/warm-both,pitcrew.dev/warm-default.everywhere", "-o", "name")
		if err == nil && strings.Count(out, "node/") != 2 {
			err = fmt.Errorf("only %q", out)
		}
		return err
	})
}

// A server's pod starts without a byte from the registry where its image is warm; elsewhere it waits for all of it.
func TestAServerStartsFromAWarmImage(t *testing.T) {
	need(t)
	const gigabit = 125 << 20
	e2e.registry.Throttle(gigabit)
	defer e2e.registry.Throttle(0)
	seconds := map[string]float64{}
	bytes := map[string]int64{}
	for _, c := range []struct{ name, annotations string }{{"warm", ""}, {"cold", `pitcrew.dev/warm: "false"`}} {
		name := "arena-" + c.name
		fleet(t, name, "node-a", name, 0, c.annotations)
		if c.name == "warm" {
			if _, err := program(t, "warmer", "gate", "fleet/"+name, "-n", "default", "--timeout", "2m"); err != nil {
				t.Fatal(err)
			}
		}
		e2e.registry.Reset()
		began := time.Now()
		scale(t, name, 1)
		readyPod(t, name)
		seconds[c.name], bytes[c.name] = time.Since(began).Seconds(), e2e.registry.Bytes(e2e.a)
	}
	if bytes["warm"] != 0 {
		t.Errorf("a server from a warm image had %d bytes pulled: %v", bytes["warm"], e2e.registry.Served(e2e.a))
	}
	if bytes["cold"] < 200<<20 || seconds["cold"] <= seconds["warm"] {
		t.Errorf("the cold one took %.1f s for %d bytes, the warm one %.1f s", seconds["cold"], bytes["cold"], seconds["warm"])
	}
	t.Logf("ready after %.1f s from a warm image with %d bytes pulled, after %.1f s from a cold one with %d bytes at 1 Gbit/s: %.1f s saved, ratio %.1f",
		seconds["warm"], bytes["warm"], seconds["cold"], bytes["cold"], seconds["cold"]-seconds["warm"], seconds["cold"]/seconds["warm"])
}

// What node-b gets is what its label says.
func TestANodeGetsItsArchitecture(t *testing.T) {
	need(t)
	defer e2e.registry.Reset()
	e2e.registry.Reset()
	warmSet(t, "arch", "node-b", "arena-arch")
	defer func() { kubectl(t, "delete", "warmset", "arch") }()
	kubectl(t, "wait", "--for=condition=Warm", "warmset/arch", "--timeout=120s")
	served := e2e.registry.Served(e2e.b)
	held, err := e2e.b.Ctr(t.Context(), "content", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}
	for arch, want := range map[string]bool{"arm64": true, "amd64": false} {
		m, layers, err := layersOf("arena-arch", arch)
		if err != nil {
			t.Fatal(err)
		}
		other, others, err := layersOf("arena-arch", map[string]string{"arm64": "amd64", "amd64": "arm64"}[arch])
		if err != nil {
			t.Fatal(err)
		}
		own := []string{m}
		for _, l := range layers {
			shared := false
			for _, o := range others {
				shared = shared || o == l
			}
			if !shared {
				own = append(own, l.digest)
			}
		}
		if len(own) < 2 || m == other {
			t.Fatalf("the image has no layer of its own for %s", arch)
		}
		for _, digest := range own {
			if got := served[digest] > 0; got != want {
				t.Errorf("%s of %s was fetched by node-b: %t, want %t", digest, arch, got, want)
			}
			if got := strings.Contains(held, digest); got != want {
				t.Errorf("%s of %s is held by node-b: %t, want %t", digest, arch, got, want)
			}
		}
	}
	fleet(t, "arch", "node-b", "arena-arch", 1, "")
	pod := readyPod(t, "arch")
	if log := kubectl(t, "logs", pod.Name, "-c", "game"); !strings.Contains(log, "serving linux/arm64") {
		t.Errorf("the server on node-b says %q", log)
	}
}
