package progress

import (
	"io"
	"slices"
	"sync"
	"time"
)

const (
	terminalInterval = 200 * time.Millisecond
	plainInterval    = 5 * time.Second
)

// Reporter shows the progress of its items. Use [New]; a nil Reporter shows nothing.
type Reporter struct {
	view view
	stop chan struct{}
	done chan struct{}
	once sync.Once

	mu       sync.Mutex // never held while something is written
	active   []*Item
	finished int   // items
	moved    int64 // bytes of finished items
	started  time.Time
}

// view shows snapshots, one at a time; Write may come at any moment.
type view interface {
	io.Writer
	show(s snapshot)
	// close shows the end.
	close(s snapshot)
}

// New starts a reporter that draws on w; tty says that w is a terminal which understands ANSI sequences. Nothing is
// written until the first item starts. Close must be called.
func New(w io.Writer, tty bool) *Reporter {
	r := &Reporter{stop: make(chan struct{}), done: make(chan struct{})}
	interval := plainInterval
	r.view = &plain{w: w}
	if tty {
		interval = terminalInterval
		r.view = &terminal{w: w}
	}
	go r.draw(interval) // Close joins it
	return r
}

// Start announces a transfer of total bytes, or of a number that is not known if total is 0 or less. name is shown to
// people and may be any text.
func (r *Reporter) Start(name string, total int64) *Item {
	if r == nil {
		return nil
	}
	i := &Item{reporter: r, name: printable(name), total: total}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started.IsZero() {
		r.started = time.Now()
	}
	r.active = append(r.active, i)
	return i
}

// Write passes on whole lines of another kind, above what is drawn. A nil Reporter discards them.
func (r *Reporter) Write(p []byte) (int, error) {
	if r == nil {
		return len(p), nil
	}
	return r.view.Write(p)
}

// Close shows the final state and ends the reporter: afterwards only Write has an effect. It returns when the last
// byte is written. Further calls do nothing.
func (r *Reporter) Close() {
	if r == nil {
		return
	}
	r.once.Do(func() { close(r.stop) })
	<-r.done
}

func (r *Reporter) finish(i *Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.Index(r.active, i)
	if at < 0 {
		return
	}
	r.active = slices.Delete(r.active, at, at+1)
	done, _ := i.counted()
	r.moved += done
	r.finished++
}

func (r *Reporter) draw(interval time.Duration) {
	defer close(r.done)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var speed speedometer
	for {
		select {
		case <-tick.C:
			if s := r.snapshot(); s.any {
				s.rate = speed.at(s)
				r.view.show(s)
			}
		case <-r.stop:
			if s := r.snapshot(); s.any {
				r.view.close(s)
			}
			return
		}
	}
}
