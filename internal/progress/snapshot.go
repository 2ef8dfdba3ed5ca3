package progress

import "time"

// snapshot is the state of a reporter at one moment.
type snapshot struct {
	any         bool // an item has been started
	done, total int64
	open        bool // an item's total is not known, so that total is too low
	finished    int
	active      []line
	took        time.Duration
	rate        float64 // bytes per second of late
}

// line is an active item.
type line struct {
	name        string
	done, total int64
	open        bool
}

func (r *Reporter) snapshot() snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := snapshot{any: !r.started.IsZero(), done: r.moved, total: r.moved, finished: r.finished}
	if s.any {
		s.took = time.Since(r.started)
	}
	for _, i := range r.active {
		done, total := i.counted()
		open := i.total <= 0
		s.done += done
		s.total += total
		s.open = s.open || open
		s.active = append(s.active, line{name: i.name, done: done, total: total, open: open})
	}
	return s
}

// left is the time that the rest takes at the present rate, if that can be told.
func (s snapshot) left() (time.Duration, bool) {
	if s.open || s.rate < 1 {
		return 0, false
	}
	seconds := float64(s.total-s.done) / s.rate
	if seconds > (100 * time.Hour).Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}
