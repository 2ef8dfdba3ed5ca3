package node

import (
	"slices"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer/agent"
)

// Paces are measured over a while that is long enough for large layers to be a steady flow.
const (
	window   = 30 * time.Second
	shortest = time.Second
)

// meter measures how fast an agent fetches.
type meter struct {
	fetched map[string]int64 // by key of an image, in this run of the agent
	total   int64
	samples []sample
}

type sample struct {
	at    time.Time
	total int64
}

// add takes in what the agent has fetched until now and says how many bytes came per second of late, rounded to two digits:
// 0 if nothing remains, and if it is too early to tell.
func (m *meter) add(at time.Time, images []agent.ImageStatus, remaining int64) int64 {
	was := m.fetched
	m.fetched = make(map[string]int64, len(images))
	for i := range images {
		key, n := images[i].Want.Key(), images[i].Fetched
		m.fetched[key] = n
		m.total += max(0, n-was[key])
	}
	if remaining <= 0 {
		m.samples = nil
		return 0
	}
	m.samples = append(m.samples, sample{at, m.total})
	old := slices.IndexFunc(m.samples, func(s sample) bool { return at.Sub(s.at) <= window })
	m.samples = m.samples[old:]
	first := m.samples[0]
	if span := at.Sub(first.at); span >= shortest {
		return twoDigits(int64(float64(m.total-first.total) / span.Seconds()))
	}
	return 0
}

func twoDigits(n int64) int64 {
	unit := int64(1)
	for n/unit >= 100 {
		unit *= 10
	}
	return n / unit * unit
}
