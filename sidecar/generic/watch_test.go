package generic_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/gametest"
	"github.com/pitcrew-dev/pitcrew/sidecar/generic"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

// watcher keeps what a game is said to do.
type watcher struct {
	t *testing.T
	*gametest.Looks

	mu      sync.Mutex
	told    []sidecar.Happening
	state   sidecar.State
	lines   map[bool]int
	asked   []error
	changed chan struct{}
}

func newWatcher(t *testing.T) *watcher {
	t.Helper()
	return &watcher{t: t, Looks: gametest.NewLooks(), lines: map[bool]int{}, changed: make(chan struct{})}
}

// watch observes a server until the test ends.
func watch(t *testing.T, o generic.Options) *watcher {
	t.Helper()
	w := newWatcher(t)
	o.Every = often
	o.Observed = generic.Observed{
		Socket: w.Socket,
		Line:   func(ok bool) { w.change(func() { w.lines[ok]++ }) },
		Asked:  func(_ time.Duration, err error) { w.change(func() { w.asked = append(w.asked, err) }) },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- generic.New(o).Observe(ctx, func(h sidecar.Happening) {
			w.change(func() {
				w.told = append(w.told, h)
				w.state, _ = sidecar.DefaultPolicy().Step(w.state, sidecar.Event{At: time.Now(), What: h})
			})
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Observe() = %v, want nil when its context ends", err)
		}
	})
	return w
}

func (w *watcher) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// until waits until something holds; is is called with the lock held.
func (w *watcher) until(what string, is func() bool) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		w.mu.Lock()
		ok, changed := is(), w.changed
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("waited for: %s; told: %+v", what, w.now())
		}
	}
}

func (w *watcher) now() []sidecar.Happening {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.told)
}

// is says whether something holds now; f is called with the lock held.
func (w *watcher) is(f func() bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return f()
}

// signs counts those of a kind; it is called with the lock held.
func (w *watcher) signs(by sidecar.Signal) int {
	n := 0
	for _, h := range w.told {
		if h == (sidecar.Alive{By: by}) {
			n++
		}
	}
	return n
}

// untilMore waits for a sign of life that comes after this call.
func (w *watcher) untilMore(by sidecar.Signal) {
	w.t.Helper()
	n := -1
	w.until("another sign: "+string(by), func() bool {
		if n < 0 {
			n = w.signs(by)
		}
		return w.signs(by) > n
	})
}

// silent says that a whole look found no sign of life.
func (w *watcher) silent() bool {
	before := len(w.now())
	w.Wait()
	return !slices.ContainsFunc(w.now()[before:], func(h sidecar.Happening) bool { _, sign := h.(sidecar.Alive); return sign })
}

// kernel is a table of sockets that tests write.
type kernel struct {
	t    testing.TB
	dir  string
	next string
}

const port = 4000

func newKernel(t testing.TB) *kernel {
	t.Helper()
	dir := t.TempDir()
	return &kernel{t: t, dir: dir, next: filepath.Join(dir, "next")}
}

// has says how much waits in the queue of the game's socket; below 0 there is no socket.
func (k *kernel) has(protocol socket.Protocol, queued int) {
	k.t.Helper()
	state, text := map[socket.Protocol]string{socket.UDP: "07", socket.TCP: "0A"}[protocol], "head\n"
	if queued >= 0 {
		text += fmt.Sprintf("  1: 00000000:%04X 00000000:0000 %s 00000000:%08X 00:00000000 00000000 0 0 1 2 0 0\n", port, state, queued)
	}
	if err := os.WriteFile(k.next, []byte(text), 0o644); err != nil {
		k.t.Fatal(err)
	}
	if err := os.Rename(k.next, filepath.Join(k.dir, string(protocol))); err != nil {
		k.t.Fatal(err)
	}
}

// logged is a log that tests write, of a server whose socket is bound.
type logged struct {
	*watcher
	*server
}

func watchLog(t *testing.T, patterns string, history ...string) logged {
	t.Helper()
	k := newKernel(t)
	k.has(socket.UDP, 0)
	s := &server{t: t, log: filepath.Join(t.TempDir(), "game.log")}
	if len(history) > 0 {
		s.writes(history...)
	}
	return logged{watch(t, generic.Options{Port: port, ProcNet: k.dir, Log: s.log, Patterns: parse(t, patterns)}), s}
}

// ids are those of the players who are there; it is called with the lock held.
func (w *watcher) ids() []string {
	var ids []string
	for _, p := range w.state.Players {
		ids = append(ids, p.ID)
	}
	return ids
}
