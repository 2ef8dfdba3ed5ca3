package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/internal/outputtest"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

// keptUp runs a command in a process of its own, and again whenever it ends, as kubelet would.
type keptUp struct {
	starts atomic.Int32
	out    *outputtest.Output
}

func keepUp(t *testing.T, args ...string) *keptUp {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k := &keptUp{out: &outputtest.Output{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			cmd := exec.CommandContext(ctx, self, args...)
			cmd.Env = append(os.Environ(), mainEnv+"=1")
			cmd.Stdout, cmd.Stderr = k.out, k.out
			k.starts.Add(1)
			_ = cmd.Run() // that it failed is why it is started again
			pause := time.NewTimer(time.Second)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("warmer %q, started %d times:\n%s", args, k.starts.Load(), k.out)
		}
	})
	return k
}

func warmSet(name string, refs ...string) *v1alpha1.WarmSet {
	s := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, r := range refs {
		s.Spec.Images = append(s.Spec.Images, v1alpha1.WantedImage{Ref: r})
	}
	return s
}

// patience is longer than what client-go waits at most between two looks for an API server that was away.
const patience = 90 * time.Second

// wantSet waits until a WarmSet's nodes and the reason of its condition Degraded are these.
func wantSet(t *testing.T, s *kubetest.Server, name, want string) {
	t.Helper()
	kubetest.Within(t, patience, func() error {
		set := &v1alpha1.WarmSet{}
		if err := s.Get(t.Context(), types.NamespacedName{Name: name}, set); err != nil {
			return err
		}
		reason := ""
		if c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.Degraded); c != nil {
			reason = c.Reason
		}
		n := set.Status.Nodes
		if got := fmt.Sprint(n.Desired, n.Warm, n.Failed, " ", reason); got != want || set.Status.ObservedGeneration != set.Generation {
			return fmt.Errorf("WarmSet %s is %s, want %s", name, got, want)
		}
		return nil
	})
}

// outage is how long the API server is away.
const outage = 30 * time.Second

func TestTheClustersAPIServerIsAwayForHalfAMinute(t *testing.T) {
	t.Parallel()
	s, r := kubetest.Own(t), newRig(t)
	s.Node(t, "n", nil)
	r.reg.Push("game:1", game("1")...)
	big := game("2")
	big[0].Files["data/more"] = warmertest.Bytes(9, 20<<20)
	r.reg.Push("game:2", big...)
	r.reg.Push("game:3", game("3")...)
	one, two, three := r.reg.Reference("game:1"), r.reg.Reference("game:2"), r.reg.Reference("game:3")
	controller := keepUp(t, "controller", "--kubeconfig", s.Kubeconfig(t, s.ServiceAccount(t, kubetest.Controller, "")), "--listen", "", "--probes", "", "--lease-namespace", kubetest.Namespace)
	agentArgs := []string{"--node", "n", "--kubeconfig", s.Kubeconfig(t, s.ServiceAccount(t, kubetest.Agent, "n")), "--state", filepath.Join(t.TempDir(), "state")}
	a := r.agent(agentArgs...)
	set := warmSet("s", one)
	if err := s.Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	wantSet(t, s, "s", "1 1 0 AsExpected")

	r.slowly(2 << 20)
	want := func(refs ...string) {
		t.Helper()
		kubetest.Eventually(t, func() error {
			if err := s.Get(t.Context(), client.ObjectKeyFromObject(set), set); err != nil {
				return err
			}
			set.Spec.Images = warmSet("", refs...).Spec.Images
			return s.Update(t.Context(), set)
		})
	}
	want(one, two)
	before := r.reg.Bytes()
	r.until("the second image is pulled", func() bool { return r.reg.Bytes() > before+2<<20 }, a.out)
	s.Kill()
	back := time.NewTimer(outage)
	defer back.Stop()
	at := r.reg.Bytes()
	r.until("the agent goes on", func() bool { return r.reg.Bytes() > at+2<<20 }, a.out)
	a.kill()
	b := r.agent(agentArgs...)
	at = r.reg.Bytes()
	r.until("an agent that starts meanwhile goes on", func() bool { return r.reg.Bytes() > at+2<<20 }, b.out)
	r.slowly(0)
	b.untilWarm()
	if got := len(b.status().Images); got != 2 {
		t.Errorf("without the API server the agent wants %d images, want 2", got)
	}
	r.wantVerified(two)
	select {
	case <-back.C:
		t.Error("all of this took longer than the API server was to be away")
	default:
		<-back.C
	}
	s.Restart(t)
	wantSet(t, s, "s", "1 1 0 AsExpected")
	want(two, three)
	wantSet(t, s, "s", "1 1 0 AsExpected")
	r.wantVerified(three)
	if n := controller.starts.Load(); n != 2 {
		t.Errorf("the controller was started %d times, want 2: it ends without its lease, and the next one waits", n)
	}
}

func TestAPrivateRegistryAndWhatBecomesOfItsImages(t *testing.T) {
	t.Parallel()
	s, r := kubetest.Own(t), newRig(t)
	s.Namespaced(t, "games")
	s.Node(t, "n", nil)
	for _, v := range []string{"1", "2"} {
		r.reg.Push("games/stk:"+v, game(v)...)
	}
	one, two := r.reg.Reference("games/stk:1"), r.reg.Reference("games/stk:2")
	r.reg.Login("user", "first")
	s.Make(t, kubetest.PullSecret("games", "registry", r.reg.Host, "user", "first"))
	keepUp(t, "controller", "--kubeconfig", s.Kubeconfig(t, s.ServiceAccount(t, kubetest.Controller, "")), "--listen", "", "--probes", "")
	agentArgs := []string{"--node", "n", "--kubeconfig", s.Kubeconfig(t, s.ServiceAccount(t, kubetest.Agent, "n")), "--grace", "1h", "--observe", "200ms", "--refresh", "1s"}
	a := r.agent(agentArgs...)
	set := warmSet("s", one)
	set.Spec.PullSecrets = []v1alpha1.SecretReference{{Namespace: "games", Name: "registry"}}
	set.Spec.Retention = &v1alpha1.Retention{KeepFor: &metav1.Duration{Duration: 2 * time.Second}}
	if err := s.Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	wantSet(t, s, "s", "1 0 1 ImageFailed")
	kubetest.Eventually(t, func() error {
		if err := s.Get(t.Context(), client.ObjectKeyFromObject(set), set); err != nil {
			return err
		}
		return contains(set.Status.Images[0].Message, "pull secret games/registry: ", "forbidden")
	})

	s.Apply(t, "config/examples/pull-secrets.yaml")
	a.kill() // which would wait for half a minute after it was refused
	a = r.agent(agentArgs...)
	wantSet(t, s, "s", "1 1 0 AsExpected")
	first := a.status().Images[0].Digest

	t.Run("the password is another one", func(t *testing.T) {
		r.reg.Login("user", "second")
		changed := kubetest.PullSecret("games", "registry", r.reg.Host, "user", "second")
		if err := s.Update(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		kubetest.Eventually(t, func() error {
			if err := s.Get(t.Context(), client.ObjectKeyFromObject(set), set); err != nil {
				return err
			}
			set.Spec.Images = warmSet("", two).Spec.Images
			return s.Update(t.Context(), set)
		})
		r.until("the next version is warm", func() bool {
			i := a.status().Images
			return len(i) == 1 && i[0].Digest != first && i[0].State == agent.Warm
		}, a.out)
	})
	t.Run("the old version goes when the set says so, not when the agent's grace ends", func(t *testing.T) {
		r.until("the old version is gone", func() bool { return len(r.node.Left().Images) == 3 }, a.out)
	})
	t.Run("and what was wanted of a set that is gone", func(t *testing.T) {
		assets := warmSet("assets", two)
		assets.Spec.Layers, assets.Spec.PullSecrets, assets.Spec.Retention = v1alpha1.AssetsLayers, set.Spec.PullSecrets, set.Spec.Retention
		if err := s.Create(t.Context(), assets); err != nil {
			t.Fatal(err)
		}
		wantSet(t, s, "assets", "1 1 0 AsExpected")
		for _, x := range []*v1alpha1.WarmSet{set, assets} {
			if err := s.Delete(t.Context(), x); err != nil {
				t.Fatal(err)
			}
		}
		r.until("nothing is wanted", func() bool { return len(a.status().Images) == 0 }, a.out)
		gone := time.Now()
		r.until("nothing is left", func() bool {
			left := r.node.Left()
			return len(left.Images)+len(left.Leases)+len(left.Snapshots) == 0
		}, a.out)
		if took := time.Since(gone); took < time.Second {
			t.Errorf("it went after %s, want it to stay for 2s", took)
		}
	})
}

func TestTheRegistryLosesAnImageThatIsWarmSomewhere(t *testing.T) {
	t.Parallel()
	s, a, b := kubetest.Own(t), newRig(t), newRig(t)
	s.Node(t, "a", nil)
	a.reg.Push("game:1", game("1")...)
	b.node.PlainHTTP(a.reg.Host)
	ref := a.reg.Reference("game:1")
	keepUp(t, "controller", "--kubeconfig", s.Kubeconfig(t, s.ServiceAccount(t, kubetest.Controller, "")), "--listen", "", "--probes", "")
	args := func(node string) []string {
		return []string{"--node", node, "--kubeconfig", s.Kubeconfig(t, s.ServiceAccount(t, kubetest.Agent, node)), "--refresh", "500ms", "--observe", "500ms"}
	}
	first := a.agent(args("a")...)
	if err := s.Create(t.Context(), warmSet("s", ref)); err != nil {
		t.Fatal(err)
	}
	wantSet(t, s, "s", "1 1 0 AsExpected")
	a.reg.Lose()
	s.Node(t, "b", nil)
	b.agent(args("b")...)
	wantSet(t, s, "s", "2 1 1 ImageFailed")
	set := &v1alpha1.WarmSet{}
	if err := s.Get(t.Context(), types.NamespacedName{Name: "s"}, set); err != nil || contains(set.Status.Images[0].Message, "b: ", "404") != nil {
		t.Errorf("the set says %q, %v; want node b and the registry's answer", set.Status.Images[0].Message, err)
	}
	a.until("the one that has it has looked the tag up, in vain", func() bool {
		return first.metric(`actions_total{action="resolve",result="not-found"}`) != ""
	}, first.out)
	if !first.warm() {
		t.Errorf("node a: %+v, want it to stay warm", first.status().Images)
	}
	var out verified
	if code, stderr := a.warmer(&out, "verify", ref); code != 0 || !out.Warm { // not --pull, which would ask the registry
		t.Errorf("warmer verify %s: exit code %d, %+v\n%s", ref, code, out, stderr)
	}
}

// contains says what is missing in a text.
func contains(text string, parts ...string) error {
	var faults []error
	for _, p := range parts {
		if !strings.Contains(text, p) {
			faults = append(faults, fmt.Errorf("%q lacks %q", text, p))
		}
	}
	return errors.Join(faults...)
}
