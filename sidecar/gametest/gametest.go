// Package gametest holds what every adapter for a game has to promise, as a test: what the state machine relies on.
package gametest

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/runner"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

// Rig is an adapter and the server that it watches, as the test drives them. The server is not there in the beginning.
type Rig struct {
	Game runner.Game
	// Open lets the server serve as it was told to, Close takes its port away.
	Open, Close func()
	// Join and Leave are of players; nil if the adapter cannot know them.
	Join, Leave func(name string)
	// Look returns when the adapter has looked at the server once more, from the beginning to the end.
	Look func()
}

// Test runs an adapter through the life of a server. It holds that
//
//   - a server that is not there gives no sign of life, does not serve, and nothing is told of players;
//   - it serves once it does, gives a sign of life, and is not full of anybody;
//   - players have IDs that stay the same as long as they are there, whatever their names are;
//   - a server whose port is gone no longer serves, and gives no sign of life;
//   - everything is told from one goroutine, and nothing after Observe returned, which it does, with nil, when its context ends.
func Test(t *testing.T, start func(t *testing.T) Rig) {
	t.Helper()
	t.Run("a server that is not there", func(t *testing.T) {
		r := observe(t, start(t))
		r.Look()
		if s, signs := r.now(); s.Serving || s.Known || signs > 0 {
			t.Errorf("it serves: %t, has players: %t, signs of life: %d; want nothing", s.Serving, s.Known, signs)
		}
	})
	t.Run("a life", func(t *testing.T) {
		r := observe(t, start(t))
		r.Open()
		r.until("it serves and lives", func(s sidecar.State) bool { return s.Serving && len(s.Signs) > 0 })
		if r.Join != nil {
			r.players(t)
		}
		r.Close()
		r.until("it no longer serves", func(s sidecar.State) bool { return !s.Serving })
		_, before := r.now()
		r.Look()
		if s, after := r.now(); s.Serving || after != before {
			t.Errorf("with its port gone it serves: %t, with %d signs of life more", s.Serving, after-before)
		}
	})
}

// names are those of strangers.
var names = []string{"Alice", "Bob", "Bob", "", " ", "\xff\xfe", "\x1b[31mred", strings.Repeat("n", 3000), "left the game", "p-1"}

func (r *rig) players(t *testing.T) {
	t.Helper()
	r.until("nobody is there", func(s sidecar.State) bool { return s.Known && s.PlayersThere() == 0 && len(s.Players) == 0 })
	known := map[string]bool{}
	for i, name := range names {
		r.Join(name)
		s := r.until("one more is there", func(s sidecar.State) bool { return s.PlayersThere() == i+1 && len(s.Players) == i+1 })
		now := ids(s)
		for id := range known {
			if !now[id] {
				t.Errorf("when %.20q came, %s went", name, id)
			}
		}
		known = now
	}
	for i, name := range names {
		r.Leave(name)
		left := len(names) - 1 - i
		s := r.until("one less is there", func(s sidecar.State) bool { return s.PlayersThere() == left && len(s.Players) == left })
		for id := range ids(s) {
			if !known[id] {
				t.Errorf("when %.20q left, %s came", name, id)
			}
		}
	}
}

func ids(s sidecar.State) map[string]bool {
	all := map[string]bool{}
	for _, p := range s.Players {
		all[p.ID] = true
	}
	return all
}

// rig collects what is emitted into the state that the state machine would make of it.
type rig struct {
	Rig
	t     *testing.T
	busy  atomic.Bool
	ended atomic.Bool

	mu      sync.Mutex
	state   sidecar.State
	signs   int
	changed chan struct{}
}

func observe(t *testing.T, r Rig) *rig {
	t.Helper()
	w := &rig{Rig: r, t: t, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Game.Observe(ctx, w.emit) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Observe() = %v when its context ended, want nil", err)
			}
		case <-time.After(patience):
			t.Error("Observe() does not end with its context")
		}
		w.ended.Store(true)
	})
	return w
}

// patience is how long something may take that should happen at once.
const patience = 20 * time.Second

func (w *rig) emit(h sidecar.Happening) {
	if w.busy.Swap(true) {
		w.t.Error("emit is called by two goroutines at once")
	}
	defer w.busy.Store(false)
	if w.ended.Load() {
		panic("emit is called after Observe returned") // the test is over
	}
	w.check(h)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, sign := h.(sidecar.Alive); sign {
		w.signs++
	}
	w.state, _ = sidecar.DefaultPolicy().Step(w.state, sidecar.Event{At: time.Now(), What: h})
	close(w.changed)
	w.changed = make(chan struct{})
}

// check is about each thing that is told by itself.
func (w *rig) check(h sidecar.Happening) {
	switch x := h.(type) {
	case sidecar.Tick, sidecar.Seen, sidecar.Drain:
		w.t.Errorf("%T is not a game's to tell", x)
	case sidecar.RacesEnded:
		if x.Total < 0 {
			w.t.Errorf("%d races ended", x.Total)
		}
	case sidecar.Here:
		seen := map[string]bool{}
		for _, p := range x.Players {
			if !strings.HasPrefix(p.ID, sidecar.IDPrefix) || seen[p.ID] || strings.Contains(p.ID, p.Name) && len(p.Name) > 3 {
				w.t.Errorf("the ID %q of %.20q does not begin with %s, is given twice, or tells the name", p.ID, p.Name, sidecar.IDPrefix)
			}
			seen[p.ID] = true
		}
		if x.Count < -1 {
			w.t.Errorf("there are %d players", x.Count)
		}
	}
}

func (w *rig) now() (s sidecar.State, signs int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.signs
}

// until waits for what is told to amount to something.
func (w *rig) until(what string, is func(sidecar.State) bool) sidecar.State {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		s, changed := w.state, w.changed
		w.mu.Unlock()
		if is(s) {
			return s
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("waited for: %s. It serves: %t, players: %d, known %t, named %d, signs %v", what, s.Serving, s.PlayersThere(), s.Known, len(s.Players), s.Signs)
		}
	}
}

// Looks tells when an adapter has looked: its Socket is for the adapter's hook of that name.
type Looks struct{ c chan struct{} }

// NewLooks makes one.
func NewLooks() *Looks { return &Looks{c: make(chan struct{})} }

// Socket counts a look that begins.
func (l *Looks) Socket(socket.Socket) {
	select {
	case l.c <- struct{}{}:
	default:
	}
}

// Wait returns when a look that began after it was called is over: another one begins.
func (l *Looks) Wait() {
	for range 2 {
		<-l.c
	}
}
