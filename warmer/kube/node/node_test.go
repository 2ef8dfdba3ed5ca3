package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(kubetest.M{M: m}) }

func set(name string, spec v1alpha1.WarmSetSpec, images ...string) v1alpha1.WarmSet {
	for _, i := range images {
		spec.Images = append(spec.Images, v1alpha1.WantedImage{Ref: i})
	}
	return v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

func TestWants(t *testing.T) {
	no := false
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"role": "game"}}}
	got := node.Wants(n, []v1alpha1.WarmSet{
		set("a", v1alpha1.WarmSetSpec{NodeSelector: map[string]string{"role": "game"}, Pin: &no, Retention: &v1alpha1.Retention{KeepFor: &metav1.Duration{Duration: time.Hour}}}, "r.test/b:1", "r.test/a:1"),
		set("urgent", v1alpha1.WarmSetSpec{Priority: 1, Layers: v1alpha1.AssetsLayers}, "r.test/c:1"),
		set("the same image", v1alpha1.WarmSetSpec{Priority: 2}, "r.test/a:1"),
		set("elsewhere", v1alpha1.WarmSetSpec{NodeSelector: map[string]string{"role": "web"}}, "r.test/d:1"),
	})
	want := []warmer.Want{
		{Ref: "r.test/a:1", Layers: warmer.All, Priority: 383, Pin: true, Retention: time.Hour},
		{Ref: "r.test/c:1", Layers: warmer.Assets, Priority: 255, Pin: true},
		{Ref: "r.test/b:1", Layers: warmer.All, Priority: 127, Retention: time.Hour},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Wants (-want +got):\n%s", diff)
	}
}

func TestCached(t *testing.T) {
	status := agent.Status{Observed: true, Bandwidth: 5, Phases: map[string]agent.Bytes{"assets": {Wanted: 10, Present: 4}}, Images: []agent.ImageStatus{
		{Want: warmer.Want{Ref: "r.test/b:1", Layers: warmer.All}, State: agent.Failed, Error: strings.Repeat("é", 200)},
		{Want: warmer.Want{Ref: "r.test/a:1", Layers: warmer.Assets}, State: agent.Warm, Digest: "sha256:1", Error: "of an earlier try", Bytes: agent.Bytes{Wanted: 10, Present: 10}, Phases: map[string]agent.Bytes{"assets": {Wanted: 10, Present: 10}}},
		{Want: warmer.Want{Ref: "r.test/c:1", Platform: "linux/arm64"}, State: agent.Warm},
	}}
	got := node.Cached(status, "v1", "linux/amd64")
	want := v1alpha1.NodeCacheStatus{Observed: true, AgentVersion: "v1", Platform: "linux/amd64", Wanted: 2, Warm: 1, BytesRemaining: 6, Bandwidth: 5, Images: []v1alpha1.CachedImage{
		{Ref: "r.test/a:1", Layers: v1alpha1.AssetsLayers, State: v1alpha1.ImageWarm, Digest: "sha256:1", WantedBytes: 10, PresentBytes: 10, Phases: []v1alpha1.PhaseBytes{{Name: "assets", WantedBytes: 10, PresentBytes: 10}}},
		{Ref: "r.test/b:1", Layers: v1alpha1.AllLayers, State: v1alpha1.ImageFailed, Error: strings.Repeat("é", 128)},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Cached (-want +got):\n%s", diff)
	}
}

// rig is an agent's view of a cluster; what it was told is kept.
type rig struct {
	*testing.T
	*kubetest.Server
	node *node.Node
	stop func()

	mu        sync.Mutex
	refs      []string
	told      int
	players   int
	bandwidth int64
	status    agent.Status
}

// newRig follows node "n" until the test ends, with the rights that an agent has in a cluster.
func newRig(t *testing.T, s *kubetest.Server) *rig {
	t.Helper()
	return newRigAs(t, s, s.ServiceAccount(t, kubetest.Agent, "n"))
}

func newRigAs(t *testing.T, s *kubetest.Server, c *rest.Config, more ...func(*node.Options)) *rig {
	t.Helper()
	r := &rig{T: t, Server: s}
	o := node.Options{Name: "n", Version: "v1", Platform: "linux/amd64", Every: 10 * time.Millisecond, Bytes: 100 * time.Millisecond}
	for _, f := range more {
		f(&o)
	}
	n, err := node.New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	r.node = n
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	run := func(f func() error) {
		running.Go(func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		})
	}
	run(func() error { return n.Run(ctx) })
	run(func() error { return n.Watch(ctx, r.wants) })
	run(func() error {
		return node.Players{Node: n}.Watch(ctx, func(p int) { r.mu.Lock(); r.players = p; r.mu.Unlock() })
	})
	run(func() error {
		return n.Bandwidth(ctx, func(b int64) { r.mu.Lock(); r.bandwidth = b; r.mu.Unlock() })
	})
	run(func() error {
		return n.Report(ctx, func() agent.Status { r.mu.Lock(); defer r.mu.Unlock(); return r.status })
	})
	r.stop = func() { cancel(); running.Wait() }
	t.Cleanup(r.stop)
	return r
}

func (r *rig) wants(w []warmer.Want) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told++
	r.refs = nil
	for i := range w {
		r.refs = append(r.refs, w[i].Ref)
	}
}

func (r *rig) says(images ...agent.ImageStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = agent.Status{Observed: true, Images: images}
}

func (r *rig) wantTold(refs ...string) {
	r.Helper()
	kubetest.Eventually(r, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.told == 0 || !slices.Equal(r.refs, refs) {
			return fmt.Errorf("told %q (%d times), want %q", r.refs, r.told, refs)
		}
		return nil
	})
}

func (r *rig) make(s v1alpha1.WarmSet) *v1alpha1.WarmSet {
	r.Helper()
	if err := r.Create(r.Context(), &s); err != nil {
		r.Fatal(err)
	}
	return &s
}

func (r *rig) cached() (*v1alpha1.NodeCache, error) {
	c := &v1alpha1.NodeCache{}
	return c, r.Get(r.Context(), types.NamespacedName{Name: "n"}, c)
}

func (r *rig) wantState(want v1alpha1.ImageState) *v1alpha1.NodeCache {
	r.Helper()
	var c *v1alpha1.NodeCache
	kubetest.Eventually(r, func() error {
		var err error
		if c, err = r.cached(); err != nil {
			return err
		}
		if len(c.Status.Images) != 1 || c.Status.Images[0].State != want {
			return fmt.Errorf("NodeCache has %v, want one image that is %s", c.Status.Images, want)
		}
		return nil
	})
	return c
}

func one(state agent.ImageState) agent.ImageStatus {
	return agent.ImageStatus{Want: warmer.Want{Ref: "r.test/stk:1", Layers: warmer.All}, State: state}
}

func TestANodeFollowsTheClusterAndReports(t *testing.T) {
	s := kubetest.Start(t)
	n := s.Node(t, "n", map[string]string{"role": "game"})
	r := newRig(t, s)
	r.wantTold()
	limited := v1alpha1.WarmSetSpec{Limits: &v1alpha1.Limits{Bandwidth: new(resource.MustParse("10Mi"))}}
	r.make(set("s", limited, "r.test/stk:1"))
	limited.Limits = &v1alpha1.Limits{Bandwidth: new(resource.MustParse("5Mi"))}
	other := r.make(set("t", limited, "r.test/stk:1"))
	r.wantTold("r.test/stk:1")
	r.wantBandwidth(5 << 20)
	if err := r.Delete(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	r.wantBandwidth(10 << 20)

	t.Run("nothing is written before the node was looked at", func(t *testing.T) {
		if _, err := r.cached(); !apierrors.IsNotFound(err) {
			t.Errorf("NodeCache: %v, want not found", err)
		}
	})
	r.says(one(agent.Pulling))
	c := r.wantState(v1alpha1.ImagePulling)
	if o := c.OwnerReferences; len(o) != 1 || o[0].UID != n.UID || c.Status.AgentVersion != "v1" {
		t.Errorf("NodeCache belongs to %v and says version %q, want node %s and v1", o, c.Status.AgentVersion, n.UID)
	}
	r.says(one(agent.Warm))
	c = r.wantState(v1alpha1.ImageWarm)
	t.Run("what did not change is not written again", func(t *testing.T) {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range 5 { // of the intervals at which bytes are written
			<-tick.C
		}
		if again, err := r.cached(); err != nil || again.ResourceVersion != c.ResourceVersion {
			t.Errorf("NodeCache has version %s, %v; want %s", again.ResourceVersion, err, c.ResourceVersion)
		}
	})
	t.Run("somebody deletes it", func(t *testing.T) {
		if err := r.Delete(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		kubetest.Eventually(t, func() error {
			again, err := r.cached()
			if err == nil && again.UID == c.UID {
				err = errors.New("it is still there")
			}
			return err
		})
		c = r.wantState(v1alpha1.ImageWarm)
	})
	t.Run("players are heard of", func(t *testing.T) {
		kubetest.Eventually(t, func() error {
			c, err := r.cached()
			if err != nil {
				return err
			}
			c.Spec.Players = 3
			return r.Update(t.Context(), c)
		})
		kubetest.Eventually(t, func() error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.players != 3 {
				return fmt.Errorf("%d players, want 3", r.players)
			}
			return nil
		})
	})
	t.Run("a node that was replaced has a cache of its own", func(t *testing.T) {
		if err := r.Delete(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		r.wantTold("r.test/stk:1") // as long as it is not known what is wanted of the next one
		next := r.Node(t, "n", map[string]string{"role": "game"})
		kubetest.Eventually(t, func() error {
			c, err := r.cached()
			if err == nil && c.OwnerReferences[0].UID != next.UID {
				err = errors.New("it belongs to the node that is gone")
			}
			return err
		})
		r.wantState(v1alpha1.ImageWarm)
	})
}

func (r *rig) wantBandwidth(want int64) {
	r.Helper()
	kubetest.Eventually(r, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.bandwidth != want {
			return fmt.Errorf("bandwidth is %d, want %d", r.bandwidth, want)
		}
		return nil
	})
}

func TestTheLastPlanStandsWhileTheAPIServerIsAway(t *testing.T) {
	s := kubetest.Start(t)
	s.Node(t, "n", nil)
	r := newRig(t, s)
	r.make(set("s", v1alpha1.WarmSetSpec{}, "r.test/stk:1"))
	r.wantTold("r.test/stk:1")
	r.says(one(agent.Pulling))
	r.wantState(v1alpha1.ImagePulling)
	s.Kill()
	r.says(one(agent.Warm))
	s.Restart(t)
	r.wantState(v1alpha1.ImageWarm)
	r.wantTold("r.test/stk:1")
	r.make(set("t", v1alpha1.WarmSetSpec{Priority: -1}, "r.test/stk:2"))
	r.wantTold("r.test/stk:1", "r.test/stk:2")
}

func TestAnAgentMayStartBeforeTheAPIServer(t *testing.T) {
	s := kubetest.Start(t)
	s.Node(t, "n", nil)
	account := s.ServiceAccount(t, kubetest.Agent, "n")
	s.Kill()
	r := newRigAs(t, s, account)
	s.Restart(t)
	r.wantTold()
}

func TestWhatWasToldLastStandsIfTheAPIServerIsAwayAtTheStart(t *testing.T) {
	s := kubetest.Start(t)
	s.Node(t, "n", nil)
	account := s.ServiceAccount(t, kubetest.Agent, "n")
	state := filepath.Join(t.TempDir(), "made", "state")
	remembering := func(o *node.Options) { o.State, o.Patience = state, 50*time.Millisecond }
	first := newRigAs(t, s, account, remembering)
	first.make(set("s", v1alpha1.WarmSetSpec{
		Limits: &v1alpha1.Limits{Bandwidth: new(resource.MustParse("5Mi"))}, Retention: &v1alpha1.Retention{KeepFor: &metav1.Duration{Duration: time.Hour}},
	}, "r.test/stk:1"))
	first.wantTold("r.test/stk:1")
	first.wantBandwidth(5 << 20)
	first.stop()
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v; want one for its owner only", info, err)
	}

	s.Kill()
	next := newRigAs(t, s, account, remembering)
	next.wantTold("r.test/stk:1")
	next.wantBandwidth(5 << 20)
	other := newRigAs(t, s, account, remembering, func(o *node.Options) { o.Name = "other" })
	if err := os.WriteFile(state+".broken", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := newRigAs(t, s, account, remembering, func(o *node.Options) { o.State += ".broken" })
	next.says(one(agent.Warm))
	for _, r := range []*rig{other, broken} { // which had as long as the one that knows
		r.mu.Lock()
		if r.told != 0 {
			t.Errorf("without a state of its own a node was told %q", r.refs)
		}
		r.mu.Unlock()
		r.stop()
	}
	s.Restart(t)
	next.wantState(v1alpha1.ImageWarm)
	next.make(set("t", v1alpha1.WarmSetSpec{Priority: -1}, "r.test/stk:2"))
	next.wantTold("r.test/stk:1", "r.test/stk:2")
}

func TestPullSecrets(t *testing.T) {
	s := kubetest.Start(t)
	s.Namespaced(t, "games")
	s.Node(t, "n", map[string]string{"role": "game"})
	r := newRig(t, s)
	named := func(names ...string) v1alpha1.WarmSetSpec {
		spec := v1alpha1.WarmSetSpec{NodeSelector: map[string]string{"role": "game"}}
		for _, n := range names {
			spec.PullSecrets = append(spec.PullSecrets, v1alpha1.SecretReference{Namespace: "games", Name: n})
		}
		return spec
	}
	r.make(set("s", named("registry"), "r.test/games/stk:1"))
	r.make(set("t", named("other"), "r.test/games/chess:1", "short"))
	elsewhere := named("registry")
	elsewhere.NodeSelector = map[string]string{"role": "web"}
	r.make(set("u", elsewhere, "r.test/web/shop:1"))
	r.wantTold("r.test/games/chess:1", "r.test/games/stk:1", "docker.io/library/short:latest")
	secrets := []*corev1.Secret{
		kubetest.PullSecret("games", "registry", "r.test", "user", "first"), kubetest.PullSecret("games", "other", "r.test", "user", "other"),
		kubetest.PullSecret("default", "registry", "r.test", "user", "default"),
	}
	for _, x := range secrets {
		s.Make(t, x)
	}
	want := func(repository, password, fault string) {
		t.Helper()
		kubetest.Eventually(t, func() error {
			got, err := r.node.PullSecrets(t.Context(), repository)
			if (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
				return fmt.Errorf("PullSecrets(%s): %w, want an error about %q", repository, errors.Join(err), fault)
			}
			if text := string(bytes.Join(got, nil)); (text == "") != (password == "") || !strings.Contains(text, password) {
				return fmt.Errorf("PullSecrets(%s) = %q, want %q", repository, text, password)
			}
			return nil
		})
	}
	want("games/stk", "", `pull secret games/registry: secrets "registry" is forbidden`)
	s.Apply(t, "config/examples/pull-secrets.yaml")
	want("games/stk", "first", "")
	want("games/chess", "", `pull secret games/other: secrets "other" is forbidden`)
	want("library/short", "", `pull secret games/other`)
	want("web/shop", "", "")
	want("games/unknown", "", "")
	t.Run("the role lets agents get that one secret, and nothing else", func(t *testing.T) {
		c, err := client.New(s.ServiceAccount(t, kubetest.Agent, "n"), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(secrets[0]), &corev1.Secret{}); err != nil {
			t.Errorf("the one that it names: %v", err)
		}
		for what, err := range map[string]error{
			"another of the namespace":          c.Get(t.Context(), client.ObjectKeyFromObject(secrets[1]), &corev1.Secret{}),
			"that name in another namespace":    c.Get(t.Context(), client.ObjectKeyFromObject(secrets[2]), &corev1.Secret{}),
			"a list of the namespace":           c.List(t.Context(), &corev1.SecretList{}, client.InNamespace("games")),
			"a watch-like list by another name": c.List(t.Context(), &corev1.SecretList{}, client.InNamespace("games"), client.MatchingFields{"metadata.name": "other"}),
			"a change of the one that it names": c.Update(t.Context(), secrets[0].DeepCopy()),
		} {
			if !apierrors.IsForbidden(err) {
				t.Errorf("%s: %v, want a refusal", what, err)
			}
		}
	})
	t.Run("one that changed is read anew", func(t *testing.T) {
		secrets[0].Data = kubetest.PullSecret("", "", "r.test", "user", "second").Data
		if err := s.Update(t.Context(), secrets[0]); err != nil {
			t.Fatal(err)
		}
		want("games/stk", "second", "")
	})
	t.Run("what was read stands while the API server is away", func(t *testing.T) {
		s.Kill()
		want("games/stk", "second", "pull secret games/registry")
		s.Restart(t)
		want("games/stk", "second", "")
	})
	t.Run("but not when the secret is gone", func(t *testing.T) {
		if err := s.Delete(t.Context(), secrets[0]); err != nil {
			t.Fatal(err)
		}
		want("games/stk", "", "not found")
		opaque := kubetest.PullSecret("games", "registry", "r.test", "user", "third")
		opaque.Type = corev1.SecretTypeOpaque
		s.Make(t, opaque)
		want("games/stk", "", "which is not kubernetes.io/dockerconfigjson")
	})
}

// Each write of an agent collides with another one, once, as the real API server sees it.
func TestSomebodyElseIsQuicker(t *testing.T) {
	follow := func(t *testing.T, s *kubetest.Server, method, suffix string, do func()) (*rig, *kubetest.Meddler) {
		t.Helper()
		config, m := kubetest.Meddle(s.ServiceAccount(t, kubetest.Agent, "n"), method, suffix, do)
		r := newRigAs(t, s, config)
		r.says(one(agent.Warm))
		return r, m
	}
	wantConflict := func(t *testing.T, m *kubetest.Meddler) {
		t.Helper()
		kubetest.Eventually(t, func() error {
			if m.Answer() != http.StatusConflict {
				return fmt.Errorf("the write was answered with %d, want 409", m.Answer())
			}
			return nil
		})
	}
	change := func(t *testing.T, s *kubetest.Server) {
		t.Helper()
		kubetest.Eventually(t, func() error {
			c := &v1alpha1.NodeCache{}
			if err := s.Get(t.Context(), types.NamespacedName{Name: "n"}, c); err != nil {
				return err
			}
			c.Spec.Players = 3
			return s.Update(t.Context(), c)
		})
	}
	t.Run("with the NodeCache", func(t *testing.T) {
		s := kubetest.Start(t)
		n := s.Node(t, "n", nil)
		r, m := follow(t, s, http.MethodPost, "/nodecaches", func() { s.Report(t, n) })
		wantConflict(t, m)
		r.wantState(v1alpha1.ImageWarm)
	})
	t.Run("with a change to it", func(t *testing.T) {
		s := kubetest.Start(t)
		s.Node(t, "n", nil)
		r, m := follow(t, s, http.MethodPut, "/nodecaches/n/status", func() { change(t, s) })
		wantConflict(t, m)
		if c := r.wantState(v1alpha1.ImageWarm); c.Spec.Players != 3 {
			t.Errorf("%d players are told, want somebody else's 3", c.Spec.Players)
		}
	})
	t.Run("with the removal of an earlier node's", func(t *testing.T) {
		s := kubetest.Start(t)
		s.Report(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "gone"}})
		n := s.Node(t, "n", nil)
		var made types.UID
		r, m := follow(t, s, http.MethodDelete, "/nodecaches/n", func() {
			c := &v1alpha1.NodeCache{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
			if err := s.Delete(t.Context(), c); err != nil {
				t.Error(err)
			}
			s.Report(t, n)
			if err := s.Get(t.Context(), types.NamespacedName{Name: "n"}, c); err != nil {
				t.Error(err)
			}
			made = c.UID
		})
		wantConflict(t, m)
		c := r.wantState(v1alpha1.ImageWarm)
		if c.UID != made {
			t.Errorf("NodeCache is %s, want %s, which somebody else made for this node", c.UID, made)
		}
	})
}

// There is nobody here who collects what belongs to what is gone; that it would be collected is in the reference.
func TestANodeCacheBelongsToItsNode(t *testing.T) {
	s := kubetest.Start(t)
	n := s.Node(t, "n", nil)
	r := newRig(t, s)
	r.says(one(agent.Warm))
	c := r.wantState(v1alpha1.ImageWarm)
	want := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n", UID: n.UID}}
	if diff := cmp.Diff(want, c.OwnerReferences); diff != "" {
		t.Errorf("NodeCache's owners (-want +got):\n%s", diff)
	}
	if len(c.Finalizers) > 0 {
		t.Errorf("NodeCache has finalizers %q, which nobody removes when its node is gone", c.Finalizers)
	}
	if err := r.Delete(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), c); err != nil { // as the garbage collector does
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 20 { // of the times at which the agent, which is still there, looks
		<-tick.C
		if _, err := r.cached(); !apierrors.IsNotFound(err) {
			t.Fatalf("an agent whose node is gone made a NodeCache: %v", err)
		}
	}
}
