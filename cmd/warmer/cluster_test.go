package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pitcrew-dev/pitcrew/internal/outputtest"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/gate"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

// background runs a command until the test ends.
func background(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	out := &outputtest.Output{}
	go func() { run(ctx, args, none, out, out); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("warmer %q:\n%s", args, out)
		}
	})
}

// command runs one and returns its exit code and what it said.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, none, &out, &err)
	return code, out.String(), err.String()
}

func fleet(name, image string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"template": map[string]any{
		"spec": map[string]any{"containers": []any{map[string]any{"name": "game", "image": image}}},
	}}}}}}
	u.SetAPIVersion("agones.dev/v1")
	u.SetKind("Fleet")
	u.SetNamespace("default")
	u.SetName(name)
	return u
}

func TestAClusterWarmsWhatAFleetAnnounces(t *testing.T) {
	s := kubetest.Start(t)
	r := newRig(t)
	s.InstallAgones(t)
	s.Node(t, "n", nil)
	game := func(version string) []warmertest.Layer {
		return []warmertest.Layer{
			{Phase: "assets", Files: map[string]string{"assets": warmertest.Bytes(1, 300_000)}},
			{Phase: "code", Files: map[string]string{"code": version}},
		}
	}
	r.reg.Push("game:1", game("1")...)
	r.reg.Push("game:2", game("2")...)
	admin := s.Kubeconfig(t, s.Config())
	background(t, "controller", "--kubeconfig", s.Kubeconfig(t, s.ServiceAccount(t, kubetest.Controller, "")), "--listen", "", "--probes", "", "--discover", "100ms", "--lease-namespace", kubetest.Namespace)
	a := r.agent("--node", "n", "--kubeconfig", s.Kubeconfig(t, s.ServiceAccount(t, kubetest.Agent, "n")))
	if err := s.Create(t.Context(), fleet("stk", r.reg.Reference("game:1"))); err != nil {
		t.Fatal(err)
	}

	if code, stdout, stderr := command(t, "gate", "fleet/stk", "-n", "default", "--kubeconfig", admin, "--every", "50ms", "--timeout", "2m"); code != 0 || !strings.Contains(stdout, "warm on 1 of 1 nodes") {
		t.Fatalf("gate: exit code %d, %s%s", code, stdout, stderr)
	}
	r.wantVerified(r.reg.Reference("game:1"))
	before := r.reg.Bytes()
	code, stdout, stderr := command(t, "gate", "fleet/stk", "-n", "default", "--kubeconfig", admin, "--every", "50ms", "--timeout", "2m", "--image", r.reg.Reference("game:2"), "--announce", "--output", "json")
	var p gate.Progress
	if err := json.Unmarshal([]byte(stdout), &p); code != 0 || err != nil || !p.Done {
		t.Fatalf("gate: exit code %d, %v, %s%s", code, err, stdout, stderr)
	}
	if n := r.reg.Bytes() - before; n > 100_000 {
		t.Errorf("the next version took %d bytes, want no assets among them", n)
	}
	r.wantVerified(r.reg.Reference("game:2"))

	t.Run("how large the agent is", func(t *testing.T) {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				t.Logf("the agent has %s", strings.TrimSpace(kb))
			}
		}
	})
	if code, stdout, stderr := command(t, "status", "--kubeconfig", admin); code != 0 || strings.Count(stdout, "Warm") != 2 || !strings.Contains(stdout, r.reg.Reference("game:2")) {
		t.Errorf("status: exit code %d\n%s%s", code, stdout, stderr)
	}

	t.Run("two sets want an image with different limits", func(t *testing.T) {
		for name, limit := range map[string]string{"fast": "10Mi", "slow": "5Mi"} {
			set := warmSet(name, r.reg.Reference("game:1"))
			set.Spec.Limits = &v1alpha1.Limits{Bandwidth: new(resource.MustParse(limit))}
			if err := s.Create(t.Context(), set); err != nil {
				t.Fatal(err)
			}
			wantSet(t, s, name, "1 1 0 AsExpected")
		}
		kubetest.Eventually(t, func() error {
			c := &v1alpha1.NodeCache{}
			if err := s.Get(t.Context(), types.NamespacedName{Name: "n"}, c); err != nil {
				return err
			}
			if c.Status.Bandwidth != 5<<20 {
				return fmt.Errorf("the node says that its limit is %d, want the lower one", c.Status.Bandwidth)
			}
			return nil
		})
		kubetest.Eventually(t, func() error {
			set, events := &v1alpha1.WarmSet{}, &eventsv1.EventList{}
			if err := errors.Join(s.Get(t.Context(), types.NamespacedName{Name: "fast"}, set), s.List(t.Context(), events)); err != nil {
				return err
			}
			told := slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
				return e.Regarding.Name == "fast" && e.Reason == v1alpha1.ReasonLowerLimit && strings.Contains(e.Note, "WarmSet slow")
			})
			if !meta.IsStatusConditionTrue(set.Status.Conditions, v1alpha1.Limited) || !told {
				return fmt.Errorf("the faster set does not say that the lower limit holds: %+v, %d events", set.Status.Conditions, len(events.Items))
			}
			return nil
		})
	})

	t.Run("an image that the registry lost is told of", func(t *testing.T) {
		code, _, stderr := command(t, "gate", "fleet/stk", "-n", "default", "--kubeconfig", admin, "--every", "50ms", "--timeout", "10s", "--image", r.reg.Reference("game:gone"), "--announce")
		if code != 1 || !strings.Contains(stderr, "404") {
			t.Errorf("gate: exit code %d, want 1\n%s", code, stderr)
		}
		set := &v1alpha1.WarmSet{}
		kubetest.Eventually(t, func() error {
			if err := s.Get(t.Context(), types.NamespacedName{Name: "default.stk"}, set); err != nil {
				return err
			}
			if set.Status.Nodes.Failed != 1 {
				return errors.New("no node has failed")
			}
			return nil
		})
	})
}

func TestGatesExitCodes(t *testing.T) {
	s := kubetest.Start(t)
	s.InstallAgones(t)
	off := fleet("off", "r.test/stk:1")
	off.SetAnnotations(map[string]string{v1alpha1.WarmAnnotation: "false"})
	for _, f := range []*unstructured.Unstructured{fleet("stk", "r.test/stk:1"), off} {
		if err := s.Create(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	n := s.Node(t, "n", nil)
	s.Report(t, n, v1alpha1.CachedImage{Ref: "r.test/stk:1", Layers: v1alpha1.AllLayers, State: v1alpha1.ImageWarm})
	for _, set := range []*v1alpha1.WarmSet{
		{ObjectMeta: metav1.ObjectMeta{Name: "cold"}, Spec: v1alpha1.WarmSetSpec{Images: []v1alpha1.WantedImage{{Ref: "r.test/stk:2"}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "nowhere"}, Spec: v1alpha1.WarmSetSpec{Images: []v1alpha1.WantedImage{{Ref: "r.test/stk:1"}}, NodeSelector: map[string]string{"no": "node"}}},
	} {
		if err := s.Create(t.Context(), set); err != nil {
			t.Fatal(err)
		}
	}
	admin := s.Kubeconfig(t, s.Config())
	background(t, "controller", "--kubeconfig", admin, "--listen", "", "--probes", "", "--discover", "100ms")
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"warm", []string{"fleet/stk"}, 0, ""},
		{"a WarmSet by its name", []string{"warmset/default.stk"}, 0, ""},
		{"not in time", []string{"warmset/cold", "--timeout", "500ms"}, 1, "0 of 1 nodes"},
		{"an image that nobody announced", []string{"fleet/stk", "--image", "r.test/stk:9", "--timeout", "500ms"}, 1, "announce it"},
		{"no node", []string{"warmset/nowhere", "--timeout", "500ms"}, 1, "no node matches"},
		{"no node, which is all right", []string{"warmset/nowhere", "--allow-no-nodes"}, 0, ""},
		{"no such Fleet", []string{"fleet/none"}, 2, "nothing to wait for"},
		{"no such WarmSet", []string{"warmset/none"}, 2, "nothing to wait for"},
		{"a Fleet that is not warmed", []string{"fleet/off"}, 2, "pitcrew.dev/warm=false"},
		{"another kind", []string{"pod/stk"}, 2, "write fleet/NAME"},
		{"more than all", []string{"fleet/stk", "--percent", "101"}, 2, "want 1 to 100"},
		{"announce nothing", []string{"fleet/stk", "--announce"}, 2, "need a Fleet and --image"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"gate", "--kubeconfig", admin, "-n", "default", "--every", "20ms", "--timeout", "1m"}, c.args...)
			if code, stdout, stderr := command(t, args...); code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("warmer %q: exit code %d, want %d\n%s%s", args, code, c.code, stdout, stderr)
			}
		})
	}
	t.Run("no cluster", func(t *testing.T) {
		if code, _, stderr := command(t, "gate", "fleet/stk", "--kubeconfig", t.TempDir()+"/none"); code != 2 {
			t.Errorf("exit code %d, want 2\n%s", code, stderr)
		}
	})
}
