package agent_test

import (
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

// A bottom layer that comes last holds nobody up: those above are unpacked, one at a time, and only wait to be committed.
func TestLayersAreUnpackedAsTheyCome(t *testing.T) {
	for name, c := range map[string]struct {
		rebases bool
		warm    time.Duration
	}{
		"in any order":    {true, 6060 * time.Millisecond},
		"from the bottom": {false, 6610 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			node := warmertest.NewNode()
			node.Rebases, node.Size = c.rebases, 4<<30
			node.Publish(one, map[string]int64{"a": 10 * mb, "b": 200 * mb, "c": 300 * mb})
			told := newLedger()
			live(t, agent.Options{Alone: agent.Pace{Fetches: 1, Unpacks: 1}, Observer: told}, node, func(b *bed) {
				b.want(one)
				if got := b.after(c.warm-20*time.Millisecond, one); got.State != agent.Pulling {
					t.Errorf("too early: %+v", got)
				}
				if got := b.after(40*time.Millisecond, one); got.State != agent.Warm {
					t.Errorf("too late: %+v", got)
				}
				if n := node.Most("unpack"); n != 1 {
					t.Errorf("%d layers were unpacked at a time", n)
				}
			})
			if took := told.unpacked; took < 2550*time.Millisecond || took > 2560*time.Millisecond {
				t.Errorf("unpacking is said to have taken %s, want it without the waiting", took)
			}
		})
	}
}

func TestWhatWaitsEndsWhenNobodyWantsWhatItWaitsFor(t *testing.T) {
	lacking := func(node *warmertest.Node, layer string) {
		node.Fail(func(step, what string) error {
			if step == "blob" && what == string(warmertest.BlobOf(layer)) {
				return &warmer.RegistryError{Ref: one, Status: 404}
			}
			return nil
		})
	}
	for name, then := range map[string]func(b *bed){
		"the image is not wanted any more": func(b *bed) { b.want() },
		"its tag has moved on":             func(b *bed) { b.node.Publish(one, map[string]int64{"x": mb}) },
	} {
		t.Run(name, func(t *testing.T) {
			node := warmertest.NewNode()
			node.Rebases = true
			node.Publish(one, map[string]int64{"a": 10 * mb, "b": 20 * mb})
			lacking(node, "a")
			live(t, agent.Options{Refresh: time.Minute}, node, func(b *bed) {
				b.want(one)
				if got := b.after(30*time.Second, one); got.State != agent.Failed || node.Now("wait") != 1 || b.agent.Status().Running != 0 {
					t.Errorf("%+v, and %d layers wait; want one, that counts for nothing", got, node.Now("wait"))
				}
				then(b)
				if b.after(15*time.Minute, one); node.Now("wait") != 0 {
					t.Errorf("%d layers still wait", node.Now("wait"))
				}
			})
		})
	}
	t.Run("and goes on when it comes after all", func(t *testing.T) {
		node := warmertest.NewNode()
		node.Rebases = true
		node.Publish(one, map[string]int64{"a": 10 * mb, "b": 20 * mb})
		lacking(node, "a")
		live(t, agent.Options{}, node, func(b *bed) {
			b.want(one)
			b.after(30*time.Second, one)
			node.Fail(nil)
			if got := b.after(15*time.Minute, one); got.State != agent.Warm || node.Called("unpack") != 2 {
				t.Errorf("%+v after %d unpackings, want two", got, node.Called("unpack"))
			}
		})
	})
}
