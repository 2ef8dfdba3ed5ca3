package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pitcrew-dev/pitcrew/internal/outputtest"
	"github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/node"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/scheme"
)

// make bench-kube sets them.
var (
	loadNodes  = flag.Int("nodes", 50, "how many nodes the load test has")
	loadRounds = flag.Int("rounds", 2, "how often it changes the Fleet's image")
	loadDoc    = flag.String("doc", "", "the file that it writes its table to")
)

// What the load test asks for.
const (
	barSeen   = 2 * time.Second
	barMemory = 256 << 20
	quietFor  = 10 * time.Second
)

// TestManyNodes has every node watch WarmSets as its agent does, and make a plan of them. A Fleet's image changes; every node
// sees it, and reports it as pulled and then as warm. The controller is a process of its own, with its rights and limits.
func TestManyNodes(t *testing.T) {
	l := &load{T: t, Server: kubetest.Start(t), seen: map[string][]time.Time{}}
	busy := loadAverage(t)
	l.InstallAgones(t)
	l.nodes(*loadNodes)
	f := fleet("stk", "r.test/stk:0")
	if err := l.Create(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	controller := l.controller()
	stop := l.agents()
	defer stop()
	l.wantWarm("r.test/stk:0", controller)
	l.settle()

	var seen []time.Duration
	var warm, quiet time.Duration
	before, began := l.written(), time.Now()
	for round := range *loadRounds {
		image := fmt.Sprintf("r.test/stk:%d", round+1)
		changed := time.Now()
		kubetest.Eventually(t, func() error {
			if err := l.Get(t.Context(), client.ObjectKeyFromObject(f), f); err != nil {
				return err
			}
			setContainers(t, f, container("game", image))
			return l.Update(t.Context(), f)
		})
		seen = append(seen, l.wantSeen(image, changed)...)
		l.wantWarm(image, controller)
		warm = max(warm, time.Since(changed))
		l.settle()
		quiet = max(quiet, time.Since(changed))
	}
	writes, took := difference(l.written(), before), time.Since(began)
	still := l.written()
	waiting := time.NewTimer(quietFor)
	<-waiting.C // to see what is written while nothing happens
	idle := difference(l.written(), still)

	slices.Sort(seen)
	l.report(busy, []figure{
		{"from a Fleet's new image to an agent's plan, median", percentile(seen, 50).Seconds(), "s", 0},
		{"the same, 99th percentile", percentile(seen, 99).Seconds(), "s", barSeen.Seconds()},
		{"the same, slowest", seen[len(seen)-1].Seconds(), "s", 0},
		{"from a Fleet's new image to Warm in the WarmSet, slowest round; agents take up to 3 s of it", warm.Seconds(), "s", 0},
		{"until the last write about it", quiet.Seconds(), "s", 0},
		{"writes per change of image and node: NodeCaches, by agents", perNode(writes["nodecaches"]), "", 0},
		{"the same: labels of Nodes", perNode(writes["nodes"]), "", 0},
		{"writes per change of image: WarmSets", float64(writes["warmsets"]) / float64(*loadRounds), "", 0},
		{"the same: Events", float64(writes["events"]) / float64(*loadRounds), "", 0},
		{"all writes per second, on average while images changed", float64(sum(writes)) / took.Seconds(), "1/s", 0},
		{fmt.Sprintf("writes within %s in which nothing happens, but for leases", quietFor), float64(sum(idle)), "", nothing},
		{"the controller's resident memory, peak", float64(controller.memory("VmHWM")) / (1 << 20), "MiB", barMemory / (1 << 20)},
		{"the same, in the end", float64(controller.memory("VmRSS")) / (1 << 20), "MiB", 0},
		{"processor time of the controller per change of image", controller.processor().Seconds() / float64(*loadRounds+1), "s", 0},
	})
}

// nothing is a bar of nothing at all.
const nothing = -1

func perNode(n int) float64 { return float64(n) / float64(*loadRounds**loadNodes) }

// figure is what was measured, against a bar.
type figure struct {
	what     string
	measured float64
	unit     string
	atMost   float64 // 0: no bar
}

func (f figure) missed() bool { return f.atMost != 0 && f.measured > max(0, f.atMost) }

// report tells figures and writes the table that is asked for.
func (l *load) report(busy string, figures []figure) {
	l.Helper()
	var out bytes.Buffer
	fmt.Fprintf(&out, `# The warmer in a cluster of %d nodes

Written by `+"`make bench-kube`"+` (cmd/warmer) on %s: do not edit. A real kube-apiserver and etcd, the real controller with its rights, and what
stands in for %d agents, all on one machine (%d cores, %s, load average %s before). Agents watch WarmSets and plan as real ones do, but
pull nothing: they say within a second that they pull, and 1 to 2 s later that the image is warm. %d changes of image.

| | measured | at most | |
|---|---|---|---|
`, *loadNodes, time.Now().UTC().Format(time.DateOnly), *loadNodes, runtime.NumCPU(), runtime.Version(), busy, *loadRounds)
	for _, f := range figures {
		bar, verdict := "", ""
		if f.atMost != 0 {
			bar, verdict = strings.TrimSpace(strconv.FormatFloat(max(0, f.atMost), 'g', 4, 64)+" "+f.unit), "kept"
		}
		if f.missed() {
			verdict = "MISSED"
			l.Errorf("%s: %.3g %s, want at most %s", f.what, f.measured, f.unit, bar)
		}
		measured := strings.TrimSpace(strconv.FormatFloat(f.measured, 'g', 3, 64) + " " + f.unit)
		l.Logf("%s: %s", f.what, measured)
		fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", f.what, measured, bar, verdict)
	}
	if *loadDoc != "" {
		if err := os.WriteFile(*loadDoc, out.Bytes(), 0o644); err != nil {
			l.Fatal(err)
		}
	}
}

func loadAverage(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), " ")
	return first
}

func percentile(sorted []time.Duration, n int) time.Duration {
	return sorted[(len(sorted)*n+99)/100-1]
}

// load stands in for agents.
type load struct {
	*testing.T
	*kubetest.Server

	made []*corev1.Node
	mu   sync.Mutex
	seen map[string][]time.Time // when plans had an image, by its name
}

// controllerRun is a controller in a process of its own.
type controllerRun struct {
	t   *testing.T
	cmd *exec.Cmd
	out *outputtest.Output
}

func (l *load) controller() *controllerRun {
	l.Helper()
	self, err := os.Executable()
	if err != nil {
		l.Fatal(err)
	}
	c := &controllerRun{t: l.T, out: &outputtest.Output{}}
	kubeconfig := l.Kubeconfig(l, l.ServiceAccount(l, kubetest.Controller, ""))
	c.cmd = exec.CommandContext(context.WithoutCancel(l.Context()), self, "controller", "--kubeconfig", kubeconfig, "--lease-namespace", kubetest.Namespace, "--listen", "", "--probes", "", "--discover", "1s")
	c.cmd.Env = append(os.Environ(), mainEnv+"=1")
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	if err := c.cmd.Start(); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		_ = c.cmd.Wait()         // with the signal
		if l.Failed() {
			l.Logf("controller:\n%s", c.out)
		}
	})
	return c
}

// memory is a line of the process's status, in bytes.
func (c *controllerRun) memory(line string) int64 {
	c.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	for l := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(l, line+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				c.t.Fatal(err)
			}
			return kb << 10
		}
	}
	c.t.Fatalf("the controller's process has no %s", line)
	return 0
}

// processor is how much time the process took of it.
func (c *controllerRun) processor() time.Duration {
	c.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime of proc(5), in hundredths of a second
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			c.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func (l *load) nodes(count int) {
	l.Helper()
	l.made = make([]*corev1.Node, count)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range count {
		g.Go(func() error {
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i)}}
			if err := l.Create(l.Context(), n); err != nil {
				return err
			}
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
			if err := l.Status().Update(l.Context(), n); err != nil {
				return err
			}
			l.made[i] = n
			return l.Create(l.Context(), &v1alpha1.NodeCache{ObjectMeta: metav1.ObjectMeta{
				Name: n.Name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}},
			}})
		})
	}
	if err := g.Wait(); err != nil {
		l.Fatal(err)
	}
}

// agents watch, a stream each.
func (l *load) agents() (stop func()) {
	l.Helper()
	ctx, cancel := context.WithCancel(l.Context())
	watcher, err := client.NewWithWatch(l.Config(), client.Options{Scheme: scheme.New()})
	if err != nil {
		l.Fatal(err)
	}
	var running sync.WaitGroup
	for _, n := range l.made {
		w, err := watcher.Watch(ctx, &v1alpha1.WarmSetList{})
		if err != nil {
			l.Fatal(err)
		}
		running.Go(func() { l.agent(ctx, n, w) })
	}
	return func() { cancel(); running.Wait() }
}

func (l *load) agent(ctx context.Context, n *corev1.Node, w watch.Interface) {
	defer w.Stop()
	cache := &v1alpha1.NodeCache{}
	if err := l.Get(ctx, types.NamespacedName{Name: n.Name}, cache); err != nil {
		l.Errorf("NodeCache %s: %v", n.Name, err)
		return
	}
	sets := map[string]v1alpha1.WarmSet{}
	var planned []string
	for e := range w.ResultChan() {
		set, ok := e.Object.(*v1alpha1.WarmSet)
		if !ok {
			continue
		}
		sets[set.Name] = *set
		var refs []string
		for _, x := range node.Wants(n, slices.Collect(maps.Values(sets))) {
			refs = append(refs, x.Ref)
		}
		if slices.Equal(refs, planned) {
			continue
		}
		planned = refs
		l.saw(refs)
		for _, step := range []struct {
			state v1alpha1.ImageState
			after time.Duration
		}{{v1alpha1.ImagePulling, rand.N(time.Second)}, {v1alpha1.ImageWarm, time.Second + rand.N(time.Second)}} {
			select {
			case <-time.After(step.after):
			case <-ctx.Done():
			}
			if err := l.say(ctx, cache, refs, step.state); err != nil && ctx.Err() == nil {
				l.Errorf("report %s: %v", n.Name, err)
			}
		}
	}
}

func (l *load) saw(refs []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range refs {
		l.seen[r] = append(l.seen[r], time.Now())
	}
}

// say writes a NodeCache, which is read anew only if somebody else wrote it.
func (l *load) say(ctx context.Context, c *v1alpha1.NodeCache, refs []string, state v1alpha1.ImageState) error {
	for {
		c.Status = v1alpha1.NodeCacheStatus{Observed: true, Wanted: int32(len(refs))}
		for _, r := range refs {
			c.Status.Images = append(c.Status.Images, v1alpha1.CachedImage{Ref: r, Layers: v1alpha1.AllLayers, State: state, WantedBytes: 700 << 20, PresentBytes: 650 << 20})
		}
		err := l.Status().Update(ctx, c)
		if !apierrors.IsConflict(err) {
			return err
		}
		if err := l.Get(ctx, client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
	}
}

// wantSeen waits until an image is in every plan, and says after how long that was.
func (l *load) wantSeen(ref string, since time.Time) []time.Duration {
	l.Helper()
	var out []time.Duration
	kubetest.Eventually(l, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := len(l.seen[ref]); n != len(l.made) {
			return fmt.Errorf("%d of %d nodes know of %s", n, len(l.made), ref)
		}
		for _, at := range l.seen[ref] {
			out = append(out, at.Sub(since))
		}
		return nil
	})
	return out
}

// wantWarm waits until the WarmSet says that an image is warm on every node.
func (l *load) wantWarm(ref string, c *controllerRun) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s := &v1alpha1.WarmSet{}
		err := l.Get(ctx, types.NamespacedName{Name: "default.stk"}, s)
		if err == nil && s.Status.ObservedGeneration == s.Generation && len(s.Status.Images) == 1 && s.Status.Images[0].Ref == ref && int(s.Status.Images[0].Warm) == len(l.made) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			l.Fatalf("%s is not warm: %v, %+v\n%s", ref, err, s.Status, c.out)
		}
	}
}

// settle waits until nothing has been written for two seconds.
func (l *load) settle() {
	l.Helper()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	before := l.written()
	for range 60 {
		<-tick.C
		after := l.written()
		if maps.Equal(before, after) {
			return
		}
		before = after
	}
	l.Error("something is written although nothing happens")
}

var requests = regexp.MustCompile(`^apiserver_request_total\{(?:.*,)?resource="([a-z]+)".*verb="(POST|PUT|PATCH|APPLY|DELETE)".*\} ([0-9.e+]+)$`)

// written is how many writes the API server has answered, by resource. Leases do not count: they are there to be written.
func (l *load) written() map[string]int {
	l.Helper()
	raw, err := l.Metrics(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	out := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(raw)); lines.Scan(); {
		if m := requests.FindStringSubmatch(lines.Text()); m != nil && m[1] != "leases" {
			n, err := strconv.ParseFloat(m[3], 64)
			if err != nil {
				l.Fatal(err)
			}
			out[m[1]] += int(n)
		}
	}
	if out["nodecaches"] == 0 {
		l.Fatalf("the API server's metrics know of no writes:\n%.2000s", raw)
	}
	return out
}

func difference(after, before map[string]int) map[string]int {
	out := map[string]int{}
	for k, n := range after {
		out[k] = n - before[k]
	}
	return out
}

func sum(m map[string]int) (n int) {
	for _, x := range m {
		n += x
	}
	return n
}
