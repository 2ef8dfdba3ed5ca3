package agent_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const one, two, old = "r.test/one:1", "r.test/two:1", "r.test/old:1"

const mb = 1 << 20

func want(ref string) warmer.Want { return warmer.Want{Ref: ref, Layers: warmer.All, Pin: true} }

// source can be changed.
type source struct{ changes chan []warmer.Want }

func (s source) Watch(ctx context.Context, set func([]warmer.Want)) error {
	for {
		select {
		case w := <-s.changes:
			set(w)
		case <-ctx.Done():
			return nil
		}
	}
}

// players can come and go.
type players chan int

func (p *players) Watch(ctx context.Context, set func(int)) error {
	for {
		select {
		case n := <-*p:
			set(n)
		case <-ctx.Done():
			return nil
		}
	}
}

type throttle struct {
	mu  sync.Mutex
	set []int64
}

func (t *throttle) SetBandwidth(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set = append(t.set, n)
}

// bed is a running agent on a node in memory.
type bed struct {
	*testing.T
	node  *warmertest.Node
	agent *agent.Agent
	wants chan []warmer.Want
}

// live runs an agent in a bubble while the test does what it does.
func live(t *testing.T, o agent.Options, node *warmertest.Node, test func(b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if p, ok := o.Players.(*players); ok {
			*p = make(players) // in the bubble
		}
		o.Runtime, o.Registry = node, node
		b := &bed{T: t, node: node, agent: agent.New(o), wants: make(chan []warmer.Want)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.agent.Run(ctx, source{b.wants}) }()
		test(b)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func (b *bed) want(refs ...string) {
	var wants []warmer.Want
	for i, r := range refs {
		w := want(r)
		w.Priority = -i
		wants = append(wants, w)
	}
	b.wants <- wants
}

// after lets time pass and returns an image's status.
func (b *bed) after(d time.Duration, ref string) agent.ImageStatus {
	b.Helper()
	time.Sleep(d)
	synctest.Wait()
	for _, i := range b.agent.Status().Images {
		if i.Ref == ref {
			return i
		}
	}
	return agent.ImageStatus{}
}

func TestAnImageBecomesWarmAndStaysSo(t *testing.T) {
	node := warmertest.NewNode()
	node.Publish(one, map[string]int64{"assets1": 100 * mb, "assets2": 50 * mb, "code": 10 * mb})
	live(t, agent.Options{Alone: agent.Pace{Fetches: 2, Unpacks: 1}}, node, func(b *bed) {
		b.want(one)
		if got := b.after(500*time.Millisecond, one); got.State != agent.Pulling || got.Present == 0 || got.Present >= got.Wanted {
			t.Errorf("in between: %+v", got)
		}
		if got := b.after(10*time.Second, one); got.State != agent.Warm || got.Fetched != 160*mb || got.Found || got.Phases["assets"].Present != 150*mb {
			t.Errorf("in the end: %+v", got)
		}
		if node.Most("fetch") != 2 || node.Most("unpack") != 1 {
			t.Errorf("at the same time: %d and %d", node.Most("fetch"), node.Most("unpack"))
		}
		node.Remove(one)
		if got := b.after(10*time.Second, one); got.State != agent.Warm || got.Fetched != 320*mb {
			t.Errorf("after somebody removed it: %+v", got)
		}
	})
}

func TestFailuresAreTriedAgainLaterAndLater(t *testing.T) {
	node := warmertest.NewNode()
	var mu sync.Mutex
	var tries []time.Time
	node.Fail(func(step, _ string) error {
		if step != "resolve" {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		tries = append(tries, time.Now())
		return &warmer.RegistryError{Ref: one, Status: 503}
	})
	live(t, agent.Options{Observe: time.Hour}, node, func(b *bed) {
		b.want(one)
		got := b.after(10*time.Minute, one)
		if got.State != agent.Failed || !errors.Is(got.Err, warmer.ErrUnavailable) || got.Until.IsZero() {
			t.Errorf("status: %+v", got)
		}
		mu.Lock()
		defer mu.Unlock()
		if n := len(tries); n < 8 || n > 16 {
			t.Errorf("%d tries in ten minutes: %v", n, tries)
		}
		for i := 2; i < len(tries); i++ {
			if wait := tries[i].Sub(tries[i-1]); wait > 2*time.Minute*6/5 {
				t.Errorf("try %d came after %s", i, wait)
			}
		}
		node.Fail(nil)
		node.Publish(one, map[string]int64{"code": mb})
		if got := b.after(3*time.Minute, one); got.State != agent.Warm || got.Error != "" {
			t.Errorf("once the registry is back: %+v", got)
		}
	})
}

// A layer that is still on its way when another one fails says nothing about that.
func TestWhatBeganBeforeAFailureDoesNotEndItsWait(t *testing.T) {
	node := warmertest.NewNode()
	node.Publish(one, map[string]int64{"a": mb, "b": 100 * mb})
	var tries atomic.Int32
	node.Fail(func(step, what string) error {
		if step == "blob" && what == string(warmertest.BlobOf("a")) {
			tries.Add(1)
			return &warmer.RegistryError{Ref: one, Status: 404}
		}
		return nil
	})
	live(t, agent.Options{Alone: agent.Pace{Fetches: 2, Unpacks: 1}}, node, func(b *bed) {
		b.want(one)
		if got := b.after(20*time.Second, one); got.State != agent.Failed || got.Error == "" || tries.Load() != 1 {
			t.Errorf("%+v after %d tries, want it to wait after one", got, tries.Load())
		}
		node.Fail(nil)
		if got := b.after(time.Minute, one); got.State != agent.Warm || got.Error != "" {
			t.Errorf("afterwards: %+v", got)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	node := warmertest.NewNode()
	node.Publish(one, map[string]int64{"code": mb})
	var tries atomic.Int32
	node.Fail(func(step, _ string) error {
		if step != "blob" {
			return nil
		}
		if tries.Add(1) <= 1 {
			return &warmer.RegistryError{Ref: one, Status: 429, RetryAfter: 5 * time.Minute}
		}
		return nil
	})
	live(t, agent.Options{}, node, func(b *bed) {
		b.want(one)
		if b.after(299*time.Second, one); tries.Load() != 1 {
			t.Errorf("%d tries before the time", tries.Load())
		}
		if got := b.after(3*time.Second, one); got.State != agent.Warm {
			t.Errorf("afterwards: %+v", got)
		}
	})
}

func TestAFetchThatWasCutGoesOn(t *testing.T) {
	node := warmertest.NewNode()
	node.Publish(one, map[string]int64{"code": 100 * mb})
	live(t, agent.Options{}, node, func(b *bed) {
		b.want(one)
		b.after(500*time.Millisecond, one)
		b.want() // not wanted for a moment
		b.after(time.Millisecond, one)
		b.want(one)
		if got := b.after(10*time.Second, one); got.State != agent.Warm || got.Fetched > 60*mb {
			t.Errorf("%+v, want about a half fetched again", got)
		}
	})
}

func TestTheMoreImportantImageIsFirst(t *testing.T) {
	node := warmertest.NewNode()
	node.Publish(one, map[string]int64{"a": 100 * mb, "b": 100 * mb})
	node.Publish(two, map[string]int64{"c": 100 * mb})
	live(t, agent.Options{}, node, func(b *bed) {
		b.want(two, one)
		if got := b.after(2100*time.Millisecond, two); got.Present < got.Wanted { // at most one layer of the other before it
			t.Errorf("the important one: %+v", got)
		}
		if got := b.after(0, one); got.Present > 110*mb {
			t.Errorf("the other: %+v", got)
		}
		if got := b.after(10*time.Second, one); got.State != agent.Warm {
			t.Errorf("the other: %+v", got)
		}
	})
}

func TestPlayersSlowItDown(t *testing.T) {
	node, seats, limit := warmertest.NewNode(), new(players), &throttle{}
	node.Publish(one, map[string]int64{"a": 100 * mb, "b": 100 * mb, "c": 100 * mb, "d": 100 * mb})
	o := agent.Options{
		Alone: agent.Pace{Fetches: 4, Unpacks: 2}, Playing: agent.Pace{Fetches: 1, Unpacks: 1, Bandwidth: 5 * mb}, Players: seats, Throttle: limit,
	}
	live(t, o, node, func(b *bed) {
		*seats <- 3
		b.want(one)
		if got := b.after(20*time.Second, one); got.State != agent.Warm || node.Most("fetch") != 1 || node.Most("unpack") != 1 {
			t.Errorf("with players: %+v, at most %d at a time", got, node.Most("fetch"))
		}
		if s := b.agent.Status(); s.Players != 3 || s.Bandwidth != 5*mb {
			t.Errorf("status: %+v", s)
		}
		*seats <- 0
		synctest.Wait()
		b.agent.SetPace(b.Context(), agent.Pace{Bandwidth: 7 * mb}, agent.Pace{})
		synctest.Wait()
	})
	if want := []int64{0, 5 * mb, 0, 7 * mb}; !slices.Equal(limit.set, want) {
		t.Errorf("bandwidths = %v, want %v", limit.set, want)
	}
}

func TestWhatIsUnwantedStaysForItsGraceAndWhileItIsUsed(t *testing.T) {
	node := warmertest.NewNode()
	node.Publish(one, map[string]int64{"a": 10 * mb})
	node.Publish(old, map[string]int64{"b": 10 * mb})
	live(t, agent.Options{Grace: time.Hour}, node, func(b *bed) {
		b.want(one, old)
		b.after(10*time.Second, one)
		node.Use(old, true)
		b.want(one)
		b.after(10*time.Minute, one)
		if got := b.agent.Status().Unwanted; !slices.Equal(got, []string{old}) || !slices.Contains(node.Keys(), old) {
			t.Errorf("unwanted: %v, kept: %v", got, node.Keys())
		}
		b.after(2*time.Hour, one)
		if !slices.Contains(node.Keys(), old) {
			t.Error("an image in use was evicted")
		}
		node.Use(old, false)
		b.after(2*time.Minute, one)
		if got := node.Keys(); !slices.Equal(got, []string{one}) {
			t.Errorf("kept: %v", got)
		}
	})
}

func TestUnwantedImagesMakeRoom(t *testing.T) {
	node := warmertest.NewNode()
	node.Size = 300 * mb
	node.Publish(one, map[string]int64{"a": 60 * mb})
	node.Publish(old, map[string]int64{"b": 60 * mb})
	live(t, agent.Options{Grace: 24 * time.Hour, FloorBytes: 100 * mb}, node, func(b *bed) {
		b.want(old)
		if got := b.after(10*time.Second, old); got.State != agent.Warm {
			t.Fatalf("old: %+v", got)
		}
		b.want(old, one)
		if got := b.after(10*time.Second, one); got.State != agent.Waiting || got.Why != warmer.DiskFull {
			t.Errorf("with no room: %+v", got)
		}
		b.want(one)
		if got := b.after(2*time.Minute, one); got.State != agent.Warm {
			t.Errorf("with room made: %+v, kept %v", got, node.Keys())
		}
	})
}

func TestABombEndsAtTheFloorAndIsNotTriedUntilThereIsRoom(t *testing.T) {
	node := warmertest.NewNode()
	node.Size, node.Growth, node.UnpackRate = 1000*mb, 200, 10*mb
	node.Publish(one, map[string]int64{"a": 10 * mb})
	live(t, agent.Options{FloorBytes: 100 * mb}, node, func(b *bed) {
		b.want(one)
		got := b.after(time.Hour, one)
		if !strings.Contains(got.Error, "does not fit") || got.State != agent.Failed && got.State != agent.Waiting {
			t.Errorf("status: %+v", got)
		}
		if disk, _ := node.Disk(b.Context()); disk.Free < 900*mb {
			t.Errorf("%d bytes are free afterwards", disk.Free)
		}
		if n := node.Called("unpack"); n > 2 {
			t.Errorf("it was unpacked %d times", n)
		}
	})
}

// A look at the node while that happens sees that the documents are gone, and fetches them for an image that does not fit.
func TestWhatIsGivenBackIsNotFetchedAgain(t *testing.T) {
	node := warmertest.NewNode()
	node.Size, node.Growth, node.UnpackRate, node.Abandoning = 1000*mb, 200, 10*mb, 100*time.Millisecond
	node.Publish(one, map[string]int64{"a": 10 * mb})
	live(t, agent.Options{FloorBytes: 100 * mb, Observe: 10 * time.Millisecond}, node, func(b *bed) {
		b.want(one)
		if got := b.after(20*time.Second, one); !strings.Contains(got.Error, "does not fit") || node.Called("resolve") != 1 {
			t.Errorf("%+v after %d lookups, want one", got, node.Called("resolve"))
		}
	})
}

func TestATagIsFollowedAndRememberedWhileTheRegistryIsAway(t *testing.T) {
	node := warmertest.NewNode()
	first := node.Publish(one, map[string]int64{"a": 10 * mb})
	live(t, agent.Options{Refresh: time.Minute}, node, func(b *bed) {
		b.want(one)
		if got := b.after(10*time.Second, one); got.Digest != first {
			t.Errorf("first: %+v", got)
		}
		node.Fail(func(step, _ string) error {
			if step == "observe" {
				return nil
			}
			return &warmer.RegistryError{Ref: one, Err: errors.New("no route to host")}
		})
		if got := b.after(time.Hour, one); got.State != agent.Warm || got.Error == "" {
			t.Errorf("while the registry is away: %+v", got)
		}
		node.Fail(nil)
		second := node.Publish(one, map[string]int64{"a": 10 * mb, "b": mb})
		if got := b.after(4*time.Minute, one); got.State != agent.Warm || got.Digest != second {
			t.Errorf("after the tag moved: %+v", got)
		}
	})
	live(t, agent.Options{}, node, func(b *bed) { // another agent, which was never told
		node.Fail(func(step, _ string) error {
			if step == "observe" {
				return nil
			}
			return &warmer.RegistryError{Ref: one, Err: errors.New("no route to host")}
		})
		b.want(one)
		if got := b.after(time.Minute, one); got.State != agent.Warm || !got.Found {
			t.Errorf("what is there is warm although the registry is away: %+v", got)
		}
	})
}

// starts counts what an agent tells.
type starts struct {
	hits, misses int
	saved        int64
	lost         int
	reused       map[string]int64
}

func (*starts) Done(warmer.Action, string, int64, time.Duration, error)   {}
func (s *starts) Warm(_ string, _ time.Duration, reused map[string]int64) { s.reused = reused }
func (s *starts) Lost(string)                                             { s.lost++ }
func (s *starts) Started(_ string, hit bool, bytes int64) {
	s.saved += bytes
	if hit {
		s.hits++
	} else {
		s.misses++
	}
}

func TestStartsOfContainersAreHitsOrMisses(t *testing.T) {
	node, told := warmertest.NewNode(), &starts{}
	d := node.Publish(one, map[string]int64{"a": 10 * mb})
	node.Publish(two, map[string]int64{"a": 10 * mb, "b": mb})
	live(t, agent.Options{Observer: told, Refresh: time.Minute}, node, func(b *bed) {
		b.want(one)
		b.after(10*time.Millisecond, one)
		node.Tell(warmer.Event{Created: "early", Image: one})
		b.after(10*time.Second, one)
		node.Tell(warmer.Event{Created: "match", Image: one})
		node.Tell(warmer.Event{Created: "by digest", Image: "r.test/one@" + string(d)})
		node.Tell(warmer.Event{Created: "pod", Image: one, Sandbox: true})
		node.Tell(warmer.Event{Created: "other", Image: "r.test/nobody:1"})
		b.want(one, two)
		b.after(10*time.Second, two)
		if told.reused["other"] != 10*mb {
			t.Errorf("reused: %v", told.reused)
		}
		node.Remove(one)
		b.after(10*time.Second, one)
	})
	if told.hits != 2 || told.misses != 1 || told.saved != 20*mb || told.lost != 1 {
		t.Errorf("told: %+v, want two hits of 10 MiB, a miss and a loss", told)
	}
}

func TestPullEndsWhenAllIsSettled(t *testing.T) {
	node := warmertest.NewNode()
	node.Publish(one, map[string]int64{"assets": 10 * mb, "code": mb})
	node.Fail(func(step, what string) error {
		if step == "resolve" && what == two {
			return &warmer.RegistryError{Ref: two, Status: 503}
		}
		return nil
	})
	synctest.Test(t, func(t *testing.T) {
		pull := func(wants ...warmer.Want) map[string]agent.Result {
			t.Helper()
			results, err := agent.New(agent.Options{Runtime: node, Registry: node, Attempts: 3}).Pull(t.Context(), wants...)
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]agent.Result{}
			for _, r := range results {
				out[r.Ref] = r
			}
			return out
		}
		got := pull(want(one), want(two), want("r.test/nothing:1"))
		if r := got[one]; r.Err != nil || r.Pulled != 11*mb || r.Took <= 0 {
			t.Errorf("one: %+v", r)
		}
		if r := got[two]; !errors.Is(r.Err, warmer.ErrUnavailable) {
			t.Errorf("two: %+v", r)
		}
		if n := node.Called("resolve"); n != 1+3+1 {
			t.Errorf("%d lookups, want one, three attempts, and one", n)
		}
		if r := got["r.test/nothing:1"]; !errors.Is(r.Err, warmer.ErrNotFound) {
			t.Errorf("nothing: %+v", r)
		}
		if r := pull(want(one))[one]; !r.AlreadyWarm || r.Reused != 11*mb {
			t.Errorf("again: %+v", r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := agent.New(agent.Options{Runtime: node, Registry: node, Attempts: 1000}).Pull(ctx, want(two)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Pull = %v when its time is up", err)
		}
	})
}

func TestAnIdleAgentDoesNothing(t *testing.T) {
	node := warmertest.NewNode()
	node.Publish(one, map[string]int64{"a": mb})
	live(t, agent.Options{}, node, func(b *bed) {
		b.want(one)
		b.after(10*time.Second, one)
		before := node.Called("observe")
		b.after(time.Hour, one)
		if n := node.Called("observe") - before; n < 55 || n > 65 {
			t.Errorf("%d looks at the node in an hour, want one a minute", n)
		}
		if n := node.Called("resolve"); n != 1 {
			t.Errorf("%d lookups of a tag that is not to be refreshed", n)
		}
	})
}
