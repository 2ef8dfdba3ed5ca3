package progress

import "time"

// window is how far back the shown rate looks.
const window = 10 * time.Second

// speedometer measures the rate over the last [window].
type speedometer struct{ samples []sample }

type sample struct {
	took time.Duration
	done int64
}

// at notes a snapshot and returns the rate in bytes per second.
func (m *speedometer) at(s snapshot) float64 {
	if len(m.samples) == 0 {
		m.samples = append(m.samples, sample{}) // the start
	}
	m.samples = append(m.samples, sample{s.took, s.done})
	for len(m.samples) > 2 && s.took-m.samples[1].took >= window {
		m.samples = m.samples[1:]
	}
	first := m.samples[0]
	elapsed := (s.took - first.took).Seconds()
	if elapsed <= 0 {
		return 0
	}
	return max(0, float64(s.done-first.done)/elapsed)
}
