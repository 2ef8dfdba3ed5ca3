package decide_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/agones"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/decide"
)

func pod(images ...string) agones.GameServerTemplate {
	var t agones.GameServerTemplate
	for _, i := range images {
		t.Spec.Template.Spec.Containers = append(t.Spec.Template.Spec.Containers, corev1.Container{Image: i})
	}
	return t
}

func older(name string, replicas int32, images ...string) agones.GameServerSet {
	return agones.GameServerSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: agones.GameServerSetSpec{Template: pod(images...)}, Status: agones.GameServerSetStatus{Replicas: replicas}}
}

// withVolumes mounts images besides a folder.
func withVolumes(g agones.GameServerTemplate, images ...string) agones.GameServerTemplate {
	volumes := []corev1.Volume{{Name: "folder", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	for _, i := range images {
		volumes = append(volumes, corev1.Volume{Name: "image", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: i}}})
	}
	g.Spec.Template.Spec.Volumes = volumes
	return g
}

func TestFromFleet(t *testing.T) {
	var fifty []string
	for i := range 50 {
		fifty = append(fifty, fmt.Sprintf("r.test/side:%d", i))
	}
	var many []agones.GameServerSet
	for i := range 4 {
		var images []string
		for j := range 40 {
			images = append(images, fmt.Sprintf("r.test/old:%d-%d", i, j))
		}
		many = append(many, older(fmt.Sprint(i), 1, images...))
	}
	for _, c := range []struct {
		name     string
		fleet    agones.Fleet
		sets     []agones.GameServerSet
		want     []string
		rejected int
	}{
		{"its image", agones.Fleet{Spec: agones.FleetSpec{Template: pod("game:1")}}, nil, []string{"game:1"}, 0},
		{"images that are mounted", agones.Fleet{Spec: agones.FleetSpec{Template: withVolumes(pod("game:1"), "assets:1")}}, nil, []string{"game:1", "assets:1"}, 0},
		{"the next ones that are announced", agones.Fleet{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.NextImageAnnotation: " game:2, ,side:2"}},
			Spec:       agones.FleetSpec{Template: pod("game:1")},
		}, nil, []string{"game:1", "game:2", "side:2"}, 0},
		{"older ones that still run", agones.Fleet{Spec: agones.FleetSpec{Template: pod("game:2")}}, []agones.GameServerSet{older("a", 0, "game:0"), older("b", 1, "game:1")}, []string{"game:2", "game:1"}, 0},
		{"each once, however it is written", agones.Fleet{Spec: agones.FleetSpec{Template: pod("game", "docker.io/library/game:latest", "")}}, nil, []string{"game"}, 0},
		{"what is no reference is rejected", agones.Fleet{Spec: agones.FleetSpec{Template: pod("NOT ONE", "game:1", "UPPER:1", strings.Repeat("a", 600))}}, nil, []string{"game:1"}, 3},
		{"fifty containers", agones.Fleet{Spec: agones.FleetSpec{Template: pod(fifty...)}}, nil, fifty, 0},
		{"too many", agones.Fleet{Spec: agones.FleetSpec{Template: pod("game:1")}}, many, nil, 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decide.FromFleet(&c.fleet, c.sets)
			var got []string
			for _, w := range d.Images {
				got = append(got, w.Ref)
			}
			if c.want == nil {
				c.want = got
			}
			if diff := cmp.Diff(c.want, got); diff != "" || len(d.Rejected) != c.rejected || len(got) > 128 || slices.Contains(got, "") {
				t.Errorf("FromFleet: %d images, %d rejected (want %d) (-want +got):\n%s", len(got), len(d.Rejected), c.rejected, diff)
			}
		})
	}
}

func TestFromFleetFollowsThePodTemplate(t *testing.T) {
	f := agones.Fleet{Spec: agones.FleetSpec{Template: pod("game:1")}}
	p := &f.Spec.Template.Spec.Template.Spec
	p.InitContainers = []corev1.Container{{Image: "sidecar:1"}}
	p.NodeSelector = map[string]string{"kubernetes.io/arch": "arm64"}
	p.Tolerations = []corev1.Toleration{{Key: "games", Operator: corev1.TolerationOpExists}}
	terms := &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}}}}}}
	p.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}}
	spec := v1alpha1.WarmSetSpec{Fleet: &v1alpha1.FleetReference{Namespace: "x", Name: "f"}, Layers: v1alpha1.AssetsLayers, Priority: 5}
	d := decide.FromFleet(&f, nil)
	if !d.Apply(&spec) || d.Apply(&spec) {
		t.Error("Apply changes a spec once, and not again")
	}
	want := v1alpha1.WarmSetSpec{
		Fleet: spec.Fleet, Layers: v1alpha1.AssetsLayers, Priority: 5,
		Images:       []v1alpha1.WantedImage{{Ref: "sidecar:1"}, {Ref: "game:1"}},
		NodeSelector: p.NodeSelector, NodeAffinity: terms, Tolerations: p.Tolerations,
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Errorf("Apply (-want +got):\n%s", diff)
	}
}

func TestFromFleetWarmsTheNodesThatPodsWouldOnlyTakeWarm(t *testing.T) {
	const label = v1alpha1.WarmLabelPrefix + "x.f"
	require := func(keys ...string) corev1.NodeSelectorTerm {
		var t corev1.NodeSelectorTerm
		for _, k := range keys {
			t.MatchExpressions = append(t.MatchExpressions, corev1.NodeSelectorRequirement{Key: k, Operator: corev1.NodeSelectorOpExists})
		}
		return t
	}
	terms := func(t ...corev1.NodeSelectorTerm) *corev1.NodeSelector {
		return &corev1.NodeSelector{NodeSelectorTerms: t}
	}
	for _, c := range []struct {
		name       string
		have, want *corev1.NodeSelector
	}{
		{"no affinity", nil, nil},
		{"another condition stays", terms(require("zone", label)), terms(require("zone"))},
		{"the only condition", terms(require(label)), nil},
		{"one of two alternatives", terms(require("zone"), require(label)), nil},
		{"both alternatives have others", terms(require("zone", label), require("role")), terms(require("zone"), require("role"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := agones.Fleet{Spec: agones.FleetSpec{Template: pod("game:1")}}
			p := &f.Spec.Template.Spec.Template.Spec
			p.NodeSelector = map[string]string{label: "true", "role": "game"}
			p.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: c.have.DeepCopy()}}
			d := decide.FromFleet(&f, nil)
			if diff := cmp.Diff(map[string]string{"role": "game"}, d.NodeSelector); diff != "" {
				t.Errorf("NodeSelector (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, d.NodeAffinity); diff != "" {
				t.Errorf("NodeAffinity (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.have, p.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution); diff != "" {
				t.Errorf("the Fleet itself was changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFromFleetNamesPullSecrets(t *testing.T) {
	f := agones.Fleet{ObjectMeta: metav1.ObjectMeta{Namespace: "games", Name: "f"}, Spec: agones.FleetSpec{Template: pod("game:2")}}
	f.Spec.Template.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "new"}, {Name: ""}}
	running, ended := older("a", 1, "game:1"), older("b", 0, "game:0")
	running.Spec.Template.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "old"}, {Name: "new"}}
	ended.Spec.Template.Spec.Template.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "oldest"}}
	want := []v1alpha1.SecretReference{{Namespace: "games", Name: "new"}, {Namespace: "games", Name: "old"}}
	if diff := cmp.Diff(want, decide.FromFleet(&f, []agones.GameServerSet{running, ended}).PullSecrets); diff != "" {
		t.Errorf("FromFleet's secrets (-want +got):\n%s", diff)
	}
}

func TestETA(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name  string
		nodes []decide.Work
		want  time.Duration
	}{
		{"nothing to fetch", nil, 0},
		{"nothing is left", []decide.Work{{0, mb}}, 0},
		{"nobody says how fast it is", []decide.Work{{mb, 0}, {2 * mb, 0}}, 0},
		{"one node", []decide.Work{{100 * mb, 10 * mb}}, 10 * time.Second},
		{"rounded up", []decide.Work{{101 * mb, 10 * mb}}, 15 * time.Second},
		{"the slowest counts", []decide.Work{{100 * mb, 10 * mb}, {100 * mb, 2 * mb}}, 50 * time.Second},
		{"one that does not say is as fast as the others", []decide.Work{{10 * mb, 10 * mb}, {10 * mb, 30 * mb}, {400 * mb, 0}}, 20 * time.Second},
		{"minutes are rounded more", []decide.Work{{125 * mb, mb}}, 150 * time.Second},
		{"and hours", []decide.Work{{3700 * mb, mb}}, 70 * time.Minute},
		{"it does not overflow", []decide.Work{{1 << 62, 1}}, 1000 * time.Hour},
		{"nor with a pace that makes no sense", []decide.Work{{mb, -5}}, 0},
	} {
		if got := decide.ETA(c.nodes); got != c.want {
			t.Errorf("ETA where %s = %s, want %s", c.name, got, c.want)
		}
	}
}

func TestStatusSaysHowLongItTakes(t *testing.T) {
	pulling, failed, warm := image("game:1", v1alpha1.ImagePulling), image("game:1", v1alpha1.ImageFailed), image("game:1", v1alpha1.ImageWarm)
	at := func(pace, remaining int64, i v1alpha1.CachedImage, node string) *v1alpha1.NodeCache {
		c := cache(node, i)
		c.Status.BytesPerSecond, c.Status.BytesRemaining = pace, remaining
		return c
	}
	for _, c := range []struct {
		name string
		a, b *v1alpha1.NodeCache
		want time.Duration
	}{
		{"the slower node", at(6, 60, pulling, "a"), at(2, 60, pulling, "b"), 30 * time.Second},
		{"what is warm does not count", at(6, 60, pulling, "a"), at(0, 0, warm, "b"), 10 * time.Second},
		{"nor what failed", at(6, 60, pulling, "a"), at(1, 60, failed, "b"), 10 * time.Second},
		{"nor what images share twice", at(6, 30, pulling, "a"), at(0, 0, warm, "b"), 5 * time.Second},
		{"nor what an earlier node said", at(6, 60, pulling, "a"), at(1, 60, pulling, "gone"), 10 * time.Second},
		{"nobody can tell", at(0, 60, pulling, "a"), at(0, 60, pulling, "b"), 0},
		{"all is warm", at(0, 0, warm, "a"), at(0, 0, warm, "b"), 0},
	} {
		got := decide.Status(decide.Prepare(set("game:1")), []corev1.Node{node("a"), node("b")}, map[string]*v1alpha1.NodeCache{"a": c.a, "b": c.b})
		if got.ETA == nil && c.want != 0 || got.ETA != nil && got.ETA.Duration != c.want {
			t.Errorf("ETA where %s = %v, want %s", c.name, got.ETA, c.want)
		}
		without := *got.DeepCopy()
		if without.ETA = nil; decide.Compare(got, without) == decide.News {
			t.Errorf("an ETA where %s is news, want it to wait like bytes", c.name)
		}
	}
}

func TestNodes(t *testing.T) {
	in := func(key string, values ...string) *corev1.NodeSelector {
		return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}}}}}
	}
	arm := map[string]string{"kubernetes.io/arch": "arm64", "zone": "a"}
	taint := func(key string, effect corev1.TaintEffect) corev1.NodeSpec {
		return corev1.NodeSpec{Taints: []corev1.Taint{{Key: key, Effect: effect}}}
	}
	for _, c := range []struct {
		name string
		spec v1alpha1.WarmSetSpec
		node corev1.NodeSpec
		want bool
	}{
		{"no condition at all", v1alpha1.WarmSetSpec{}, corev1.NodeSpec{}, true},
		{"the labels", v1alpha1.WarmSetSpec{NodeSelector: map[string]string{"kubernetes.io/arch": "arm64"}}, corev1.NodeSpec{}, true},
		{"another architecture", v1alpha1.WarmSetSpec{NodeSelector: map[string]string{"kubernetes.io/arch": "amd64"}}, corev1.NodeSpec{}, false},
		{"the affinity", v1alpha1.WarmSetSpec{NodeAffinity: in("zone", "a", "b")}, corev1.NodeSpec{}, true},
		{"another zone", v1alpha1.WarmSetSpec{NodeAffinity: in("zone", "b")}, corev1.NodeSpec{}, false},
		{"both count", v1alpha1.WarmSetSpec{NodeSelector: map[string]string{"kubernetes.io/arch": "amd64"}, NodeAffinity: in("zone", "a")}, corev1.NodeSpec{}, false},
		{"a taint keeps away", v1alpha1.WarmSetSpec{}, taint("gpu", corev1.TaintEffectNoSchedule), false},
		{"one that is tolerated does not", v1alpha1.WarmSetSpec{Tolerations: []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}}, taint("gpu", corev1.TaintEffectNoSchedule), true},
		{"nor one that only prefers", v1alpha1.WarmSetSpec{}, taint("gpu", corev1.TaintEffectPreferNoSchedule), true},
		{"nor the startup taint", v1alpha1.WarmSetSpec{}, taint(v1alpha1.ColdTaint, corev1.TaintEffectNoSchedule), true},
		{"nor what passes by itself", v1alpha1.WarmSetSpec{}, taint("node.kubernetes.io/unreachable", corev1.TaintEffectNoExecute), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			nodes, err := decide.NodesOf(&c.spec)
			if err != nil {
				t.Fatal(err)
			}
			if got := nodes.Match(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: arm}, Spec: c.node}); got != c.want {
				t.Errorf("Match = %t, want %t", got, c.want)
			}
		})
	}
	if _, err := decide.NodesOf(&v1alpha1.WarmSetSpec{NodeAffinity: in("not a label", "a")}); err == nil {
		t.Error("NodesOf with an impossible term: no error")
	}
}

func node(name string) corev1.Node {
	return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
}

func cache(owner string, images ...v1alpha1.CachedImage) *v1alpha1.NodeCache {
	return &v1alpha1.NodeCache{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{UID: types.UID(owner)}}}, Status: v1alpha1.NodeCacheStatus{Observed: true, Images: images}}
}

func image(ref string, state v1alpha1.ImageState) v1alpha1.CachedImage {
	return v1alpha1.CachedImage{Ref: "docker.io/library/" + ref, Layers: v1alpha1.AllLayers, State: state, WantedBytes: 100, PresentBytes: 40, Error: "why"}
}

func set(images ...string) *v1alpha1.WarmSet {
	s := &v1alpha1.WarmSet{ObjectMeta: metav1.ObjectMeta{Name: "s", Generation: 3}}
	for _, i := range images {
		s.Spec.Images = append(s.Spec.Images, v1alpha1.WantedImage{Ref: i})
	}
	return s
}

func TestStatus(t *testing.T) {
	cordoned, away := node("b"), node("b")
	cordoned.Spec.Unschedulable = true
	away.Status.Conditions[0].Status = corev1.ConditionUnknown
	rejected := set("game:1")
	rejected.Spec.Fleet = &v1alpha1.FleetReference{Rejected: []string{"NOT ONE"}}
	broken := set("game:1")
	broken.Spec.NodeAffinity = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "not a label", Operator: "In", Values: []string{"x"}}}}}}
	type caches = map[string]*v1alpha1.NodeCache
	warm, pulling, failed := image("game:1", v1alpha1.ImageWarm), image("game:1", v1alpha1.ImagePulling), image("game:1", v1alpha1.ImageFailed)
	for _, c := range []struct {
		name   string
		set    *v1alpha1.WarmSet
		nodes  []corev1.Node
		caches caches
		// desired, warm, failed, bytes and the reasons of Warm, Progressing and Degraded
		want string
	}{
		{"all warm", set("game:1"), []corev1.Node{node("a")}, caches{"a": cache("a", warm)}, "1 1 0 0 AllWarm Idle AsExpected"},
		{"one is pulling", set("game:1"), []corev1.Node{node("a"), node("b")}, caches{"a": cache("a", warm), "b": cache("b", pulling)}, "2 1 0 60 Pulling Pulling AsExpected"},
		{"one has not said anything", set("game:1"), []corev1.Node{node("a"), node("b")}, caches{"a": cache("a", warm)}, "2 1 0 0 Pulling Pulling AsExpected"},
		{"one said it of another image", set("game:2"), []corev1.Node{node("a")}, caches{"a": cache("a", warm)}, "1 0 0 0 Pulling Pulling AsExpected"},
		{"one failed", set("game:1"), []corev1.Node{node("a"), node("b")}, caches{"a": cache("a", warm), "b": cache("b", failed)}, "2 1 1 60 ImageFailed Idle ImageFailed"},
		{"a cache of an earlier node of the same name does not count", set("game:1"), []corev1.Node{node("a")}, caches{"a": cache("gone", warm)}, "1 0 0 0 Pulling Pulling AsExpected"},
		{"a cordoned node does not count", set("game:1"), []corev1.Node{node("a"), cordoned}, caches{"a": cache("a", warm)}, "1 1 0 0 AllWarm Idle AsExpected"},
		{"nor one that is away", set("game:1"), []corev1.Node{node("a"), away}, caches{"a": cache("a", warm)}, "1 1 0 0 AllWarm Idle AsExpected"},
		{"no node", set("game:1"), nil, nil, "0 0 0 0 NoMatchingNodes Idle AsExpected"},
		{"an impossible affinity", broken, []corev1.Node{node("a")}, nil, "0 0 0 0 NoMatchingNodes Idle NoMatchingNodes"},
		{"no image", set(), []corev1.Node{node("a")}, nil, "1 1 0 0 NoImages Idle AsExpected"},
		{"a rejected image", rejected, []corev1.Node{node("a")}, caches{"a": cache("a", warm)}, "1 1 0 0 AllWarm Idle InvalidImage"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := decide.Status(decide.Prepare(c.set), c.nodes, c.caches)
			var got strings.Builder
			got.WriteString(fmt.Sprint(s.Nodes.Desired, s.Nodes.Warm, s.Nodes.Failed, s.BytesRemaining))
			for _, k := range []string{v1alpha1.Warm, v1alpha1.Progressing, v1alpha1.Degraded} {
				got.WriteString(" " + meta.FindStatusCondition(s.Conditions, k).Reason)
			}
			if got.String() != c.want || s.ObservedGeneration != 3 {
				t.Errorf("Status = %s of generation %d, want %s of 3", got.String(), s.ObservedGeneration, c.want)
			}
			c.set.Status = s
			if again := decide.Status(decide.Prepare(c.set), c.nodes, c.caches); decide.Compare(s, again) != decide.Nothing {
				t.Errorf("Status of the same differs: %s", cmp.Diff(s, again))
			}
		})
	}
}

func TestStatusQuotesTheFirstNode(t *testing.T) {
	failed := image("game:1", v1alpha1.ImageFailed)
	s := decide.Status(decide.Prepare(set("game:1")), []corev1.Node{node("b"), node("a")}, map[string]*v1alpha1.NodeCache{"a": cache("a", failed), "b": cache("b", failed)})
	if got, want := meta.FindStatusCondition(s.Conditions, v1alpha1.Degraded).Message, "2 nodes failed: game:1: a: why"; got != want {
		t.Errorf("Degraded says %q, want %q", got, want)
	}
}

func TestCompareTellsBytesFromNews(t *testing.T) {
	a := v1alpha1.WarmSetStatus{BytesRemaining: 1, Images: []v1alpha1.ImageStatus{{BytesRemaining: 1}}}
	a.Conditions = []metav1.Condition{{Type: v1alpha1.Warm, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonPulling, Message: "0 of 2"}}
	b, c, d, e := *a.DeepCopy(), *a.DeepCopy(), *a.DeepCopy(), *a.DeepCopy()
	b.BytesRemaining, b.Images[0].BytesRemaining = 2, 3
	c.Nodes.Warm, c.Images[0].Warm, c.Conditions[0].Message = 1, 1, "1 of 2"
	d.Conditions[0].Reason = v1alpha1.ReasonImageFailed
	e.ObservedGeneration = 2
	got := []decide.Difference{decide.Compare(a, a), decide.Compare(a, b), decide.Compare(a, c), decide.Compare(a, d), decide.Compare(a, e)}
	if !slices.Equal(got, []decide.Difference{decide.Nothing, decide.Bytes, decide.Counts, decide.News, decide.News}) {
		t.Errorf("Compare = %v", got)
	}
}

func prepared(sets []v1alpha1.WarmSet) []decide.Set {
	out := make([]decide.Set, len(sets))
	for i := range sets {
		out[i] = decide.Prepare(&sets[i])
	}
	return out
}

func TestNode(t *testing.T) {
	cold := corev1.Taint{Key: v1alpha1.ColdTaint, Effect: corev1.TaintEffectNoSchedule}
	other := corev1.Taint{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoSchedule}
	elsewhere := set("game:2")
	elsewhere.Spec.NodeSelector = map[string]string{"zone": "b"}
	warm := image("game:1", v1alpha1.ImageWarm)
	for _, c := range []struct {
		name   string
		labels map[string]string
		taints []corev1.Taint
		cache  *v1alpha1.NodeCache
		sets   []v1alpha1.WarmSet
		want   string // labels, taints, changed, thawed
	}{
		{"warm: labeled, and without the taint", nil, []corev1.Taint{cold, other}, cache("n", warm), []v1alpha1.WarmSet{*set("game:1")}, "map[pitcrew.dev/warm-s:true] 1 true true"},
		{"once is enough", map[string]string{"pitcrew.dev/warm-s": "true"}, nil, cache("n", warm), []v1alpha1.WarmSet{*set("game:1")}, "map[pitcrew.dev/warm-s:true] 0 false false"},
		{"not warm any more: the label goes, the taint does not come back", map[string]string{"pitcrew.dev/warm-s": "true"}, nil, cache("n"), []v1alpha1.WarmSet{*set("game:1")}, "map[] 0 true false"},
		{"labels of sets that are gone go", map[string]string{"pitcrew.dev/warm-old": "true", "x": "y"}, nil, cache("n"), nil, "map[x:y] 0 true false"},
		{"one of two is not enough", nil, []corev1.Taint{cold}, cache("n", warm), []v1alpha1.WarmSet{*set("game:1"), *set("game:2")}, "map[pitcrew.dev/warm-s:true] 1 true false"},
		{"what applies elsewhere does not matter", nil, []corev1.Taint{cold}, cache("n", warm), []v1alpha1.WarmSet{*set("game:1"), *elsewhere}, "map[pitcrew.dev/warm-s:true] 0 true true"},
		{"nothing applies: the agent has to have looked", nil, []corev1.Taint{cold}, nil, nil, "map[] 1 false false"},
		{"and then it is warm", nil, []corev1.Taint{cold}, cache("n"), nil, "map[] 0 true true"},
		{"the cache of an earlier node does not count", nil, []corev1.Taint{cold}, cache("gone", warm), []v1alpha1.WarmSet{*set("game:1")}, "map[] 1 false false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := node("n")
			n.Labels, n.Spec.Taints = c.labels, c.taints
			changed, thawed := decide.Node(&n, c.cache, prepared(c.sets), true)
			if got := fmt.Sprint(n.Labels, len(n.Spec.Taints), changed, thawed); got != c.want {
				t.Errorf("Node = %s, want %s", got, c.want)
			}
		})
	}
}

func TestNoTaintGoesBeforeTheSetsAreComplete(t *testing.T) {
	n := node("n")
	n.Spec.Taints = []corev1.Taint{{Key: v1alpha1.ColdTaint}}
	if changed, thawed := decide.Node(&n, cache("n"), nil, false); changed || thawed || !decide.Cold(&n) {
		t.Errorf("Node = %t, %t with taints %v", changed, thawed, n.Spec.Taints)
	}
}

func TestNamesAreValidAndTellFleetsApart(t *testing.T) {
	long := strings.Repeat("x", 63)
	if a, b := decide.WarmSetName("a-b", "c"), decide.WarmSetName("a", "b-c"); a == b {
		t.Errorf("WarmSetName of two Fleets = %s", a)
	}
	if got := decide.WarmSetName(long, strings.Repeat("y", 250)); len(got) > 253 {
		t.Errorf("WarmSetName has %d characters", len(got))
	}
	for _, set := range []string{"s", "games.stk", long + "." + long, strings.Repeat("y", 41) + "." + long} {
		name := strings.TrimPrefix(decide.WarmLabel(set), "pitcrew.dev/")
		if len(name) > 63 || strings.Contains(name, "..") || strings.Contains(name, ".-") {
			t.Errorf("WarmLabel(%q) = %q", set, name)
		}
	}
}

func TestPlayers(t *testing.T) {
	list := func(state string, n int) agones.GameServer {
		return agones.GameServer{Status: agones.GameServerStatus{State: state, Lists: map[string]agones.ListStatus{agones.PlayersList: {Values: make([]string, n)}}}}
	}
	for _, c := range []struct {
		name    string
		servers []agones.GameServer
		want    int32
	}{
		{"nobody", nil, 0},
		{"a server that waits", []agones.GameServer{list("Ready", 0)}, 0},
		{"those of the lists", []agones.GameServer{list("Allocated", 3), list("Ready", 2)}, 5},
		{"an allocated server that keeps none", []agones.GameServer{{Status: agones.GameServerStatus{State: "Allocated"}}}, 1},
	} {
		if got := decide.Players(c.servers); got != c.want {
			t.Errorf("Players of %s = %d, want %d", c.name, got, c.want)
		}
	}
}

func TestNoObjectOfALargeClusterIsLarge(t *testing.T) {
	var s *v1alpha1.WarmSet
	var all []v1alpha1.CachedImage
	refs := make([]string, 20)
	for i := range refs {
		refs[i] = strings.Repeat("x", 200) + fmt.Sprintf(":%d", i)
		c := image(refs[i], v1alpha1.ImageFailed)
		c.Error = strings.Repeat("e", 256)
		for _, p := range []string{"assets", "base", "code", "server", "other"} {
			c.Phases = append(c.Phases, v1alpha1.PhaseBytes{Name: p, WantedBytes: 1 << 40})
		}
		all = append(all, c)
	}
	s = set(refs...)
	var nodes []corev1.Node
	caches := map[string]*v1alpha1.NodeCache{}
	for i := range 5000 {
		n := node(fmt.Sprintf("node-%d", i))
		nodes = append(nodes, n)
		caches[n.Name] = cache(n.Name, all...)
	}
	s.Status = decide.Status(decide.Prepare(s), nodes, caches)
	if again := decide.Status(decide.Prepare(s), nodes, caches); decide.Compare(s.Status, again) != decide.Nothing {
		t.Error("where nothing happens a status would be written again")
	}
	list := v1alpha1.NodeCacheStatus{Images: make([]v1alpha1.CachedImage, 1024)}
	for i := range list.Images {
		list.Images[i] = all[i%len(all)]
	}
	most := &v1alpha1.NodeCache{Status: list}
	for o, limit := range map[any]int{s: 1 << 18, caches["node-0"]: 1 << 18, most: 1 << 20} {
		raw, err := json.Marshal(o)
		if err != nil || len(raw) > limit {
			t.Errorf("%T has %d bytes (%v), want %d at most", o, len(raw), err, limit)
		}
	}
}
