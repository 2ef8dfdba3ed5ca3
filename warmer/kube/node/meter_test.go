package node

import (
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
)

func TestMeter(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	images := func(fetched ...int64) []agent.ImageStatus {
		out := make([]agent.ImageStatus, len(fetched))
		for i, n := range fetched {
			out[i] = agent.ImageStatus{Want: warmer.Want{Ref: string(rune('a' + i))}, Fetched: n}
		}
		return out
	}
	type reading struct {
		at      float64
		fetched []int64
		remains int64
		want    int64
	}
	for _, c := range []struct {
		name     string
		readings []reading
	}{
		{"too early to tell", []reading{{0, []int64{0}, 100, 0}, {0.5, []int64{50}, 50, 0}}},
		{"two digits", []reading{{0, []int64{0}, 1, 0}, {2, []int64{24690}, 1, 12000}}},
		{"all images count", []reading{{0, []int64{0, 0}, 1, 0}, {1, []int64{10, 20}, 1, 30}}},
		{"what was fetched before it was first looked at is not in the pace", []reading{{0, []int64{1000}, 1, 0}, {2, []int64{1020}, 1, 10}}},
		{"an image that is not wanted any more takes nothing back", []reading{{0, []int64{0, 500}, 1, 0}, {1, []int64{20}, 1, 20}, {2, []int64{40}, 1, 20}}},
		{"a flow that dried up is nothing after the window", []reading{{0, []int64{0}, 1, 0}, {10, []int64{300}, 1, 30}, {30, []int64{300}, 1, 10}, {41, []int64{300}, 1, 0}, {60, []int64{300}, 1, 0}}},
		{"nothing remains", []reading{{0, []int64{0}, 1, 0}, {2, []int64{40}, 1, 20}, {3, []int64{60}, 0, 0}}},
		{"what comes later begins anew", []reading{{0, []int64{0}, 1, 0}, {2, []int64{40}, 0, 0}, {100, []int64{40}, 1, 0}, {102, []int64{60}, 1, 10}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m meter
			for _, r := range c.readings {
				if got := m.add(at(r.at), images(r.fetched...), r.remains); got != r.want {
					t.Errorf("after %vs the pace is %d, want %d", r.at, got, r.want)
				}
			}
		})
	}
}
