package agent_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

// unlimited is a pace at which nothing is held back.
var unlimited = agent.Pace{Fetches: 4, Unpacks: 2}

// service is a node whose runtime fetches by itself, and options that let it.
func service() (*warmertest.Node, agent.Options) {
	node := warmertest.NewNode()
	node.TransferService = true
	return node, agent.Options{Alone: unlimited, Playing: agent.Pace{Fetches: 1, Unpacks: 1}, Access: &warmer.Access{}}
}

// ledger counts what an observer is told of fetches.
type ledger struct {
	mu       sync.Mutex
	bytes    map[string]int64
	layers   map[int]int
	results  map[warmer.Verb][]error
	unpacked time.Duration
}

func (l *ledger) Done(a warmer.Action, phase string, bytes int64, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.Do == warmer.Unpack {
		l.unpacked += took
	}
	l.results[a.Do] = append(l.results[a.Do], err)
	if a.Do == warmer.Fetch {
		l.bytes[phase] += bytes
		if err == nil {
			l.layers[a.Layer]++
		}
	}
}
func (l *ledger) Warm(string, time.Duration, map[string]int64) {}
func (l *ledger) Lost(string)                                  {}
func (l *ledger) Started(string, bool, int64)                  {}

func newLedger() *ledger {
	return &ledger{bytes: map[string]int64{}, layers: map[int]int{}, results: map[warmer.Verb][]error{}}
}

func TestTheRuntimeBringsImagesByItselfWhileNothingIsLimited(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*agent.Options, *warmertest.Node)
		by     string
	}{
		"no limit":                   {func(*agent.Options, *warmertest.Node) {}, "transfer"},
		"a bandwidth":                {func(o *agent.Options, _ *warmertest.Node) { o.Alone.Bandwidth = 1 << 30 }, "fetch"},
		"fewer fetches than its own": {func(o *agent.Options, _ *warmertest.Node) { o.Alone.Fetches = 2 }, "fetch"},
		"no leave":                   {func(o *agent.Options, _ *warmertest.Node) { o.Access = nil }, "fetch"},
		"a runtime that cannot":      {func(_ *agent.Options, n *warmertest.Node) { n.TransferService = false }, "fetch"},
	} {
		t.Run(name, func(t *testing.T) {
			node, o := service()
			c.change(&o, node)
			node.Publish(one, map[string]int64{"assets1": 100 * mb, "assets2": 50 * mb, "code": 10 * mb})
			told := newLedger()
			o.Observer = told
			live(t, o, node, func(b *bed) {
				b.want(one)
				if got := b.after(500*time.Millisecond, one); got.State != agent.Pulling || got.Present == 0 || got.Present >= got.Wanted || got.Fetched != got.Present {
					t.Errorf("in between: %+v", got)
				}
				if got := b.after(10*time.Second, one); got.State != agent.Warm || got.Fetched != 160*mb || got.Phases["assets"].Present != 150*mb {
					t.Errorf("in the end: %+v", got)
				}
				other := map[string]string{"transfer": "fetch", "fetch": "transfer"}[c.by]
				if node.Most(c.by) == 0 || node.Most(other) != 0 {
					t.Errorf("%d transfers and %d fetches, want it by %s alone", node.Most("transfer"), node.Most("fetch"), c.by)
				}
			})
			if told.bytes["assets"] != 150*mb || told.bytes["other"] != 10*mb || len(told.layers) != 3 {
				t.Errorf("told of %v and layers %v, want each layer once, in its phase", told.bytes, told.layers)
			}
		})
	}
}

func TestPlayersEndATransferAndTheRestIsFetched(t *testing.T) {
	node, o := service()
	seats := new(players)
	o.Players = seats
	told := newLedger()
	o.Observer = told
	node.Publish(one, map[string]int64{"assets1": 100 * mb, "assets2": 100 * mb})
	live(t, o, node, func(b *bed) {
		b.want(one)
		before := b.after(1500*time.Millisecond, one)
		*seats <- 2
		if got := b.after(10*time.Second, one); got.State != agent.Warm || got.Failures != 0 || got.Fetched < 200*mb || got.Fetched > 201*mb || before.Fetched < 100*mb {
			t.Errorf("%+v before, %+v in the end: want each byte once", before, got)
		}
		if node.Called("transfer") != 2 || node.Called("blob") != 1+1 { // a configuration, and the rest of the second layer
			t.Errorf("%d transfers of blobs and %d requests", node.Called("transfer"), node.Called("blob"))
		}
		if n := told.bytes["assets"]; n < 200*mb || n > 201*mb {
			t.Errorf("told of %d bytes", n)
		}
		if r := told.results[warmer.Transfer]; len(r) != 1 || r[0] == nil {
			t.Errorf("the transfer ended with %v", r)
		}
		*seats <- 0
		b.after(0, one)
		node.Remove(one)
		if got := b.after(10*time.Second, one); got.State != agent.Warm || node.Called("transfer") != 4 {
			t.Errorf("when they have gone: %+v, %d transfers of blobs", got, node.Called("transfer"))
		}
	})
}

func TestWhatTheRuntimeCannotBringIsFetched(t *testing.T) {
	node, o := service()
	node.Publish(one, map[string]int64{"a": 10 * mb, "b": 10 * mb})
	refuse := func(step, _ string) error {
		if step == "transfer" && node.Called("transfer") == 2 {
			return errors.New("it will not")
		}
		return nil
	}
	node.Fail(refuse)
	live(t, o, node, func(b *bed) {
		b.want(one)
		if got := b.after(10*time.Second, one); got.State != agent.Warm || got.Failures != 0 || got.Error != "" || got.Fetched != 20*mb {
			t.Errorf("%+v, want it warm as if nothing had been", got)
		}
		if node.Called("transfer") != 2 || node.Most("fetch") != 1 {
			t.Errorf("%d transfers of blobs and %d fetches at a time, want one of each to bring a layer", node.Called("transfer"), node.Most("fetch"))
		}
		node.Remove(one)
		if got := b.after(10*time.Second, one); got.State != agent.Warm || node.Called("transfer") != 4 {
			t.Errorf("the next time: %+v, %d transfers of blobs", got, node.Called("transfer"))
		}
	})
}

func TestATransferGivesWay(t *testing.T) {
	node, o := service()
	node.Publish(one, map[string]int64{"a": 100 * mb})
	node.Publish(two, map[string]int64{"b": 400 * mb})
	live(t, o, node, func(b *bed) {
		b.want(two)
		b.after(time.Second, two)
		b.want(one, two)
		if got := b.after(2*time.Second, one); got.State != agent.Warm {
			t.Errorf("the important one: %+v", got)
		}
		if got := b.after(10*time.Second, two); got.State != agent.Warm || got.Failures != 0 || got.Fetched > 401*mb {
			t.Errorf("the other: %+v, want each byte once", got)
		}
		if n := node.Most("transfer"); n != 1 {
			t.Errorf("%d transfers at a time", n)
		}
	})
}

func TestATransferEndsAtTheFloor(t *testing.T) {
	node, o := service()
	node.Size, o.FloorBytes = 1000*mb, 100*mb
	node.Publish(one, map[string]int64{"a": 400 * mb})
	live(t, o, node, func(b *bed) {
		b.want(one)
		b.after(time.Second, one)
		node.Fill(700 * mb) // somebody else
		got := b.after(time.Minute, one)
		if got.State != agent.Failed && got.State != agent.Waiting || !strings.Contains(got.Error, "does not fit") {
			t.Errorf("status: %+v", got)
		}
		if disk, _ := node.Disk(b.Context()); disk.Free < 300*mb {
			t.Errorf("%d bytes are free afterwards: what came is still there", disk.Free)
		}
		node.Fill(0)
		if got := b.after(time.Hour, one); got.State != agent.Warm {
			t.Errorf("once there is room: %+v", got)
		}
	})
}

func TestAPullIsOverBeforeItsTransfer(t *testing.T) {
	node, o := service()
	node.Publish(one, map[string]int64{"a": 400 * mb})
	o.Runtime, o.Registry = node, node
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		results, err := agent.New(o).Pull(ctx, want(one))
		if !errors.Is(err, context.DeadlineExceeded) || len(results) != 1 || results[0].Pulled < 90*mb {
			t.Errorf("Pull = %+v, %v", results, err)
		}
	})
}
