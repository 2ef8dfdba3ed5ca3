package stk_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar/gametest"
	"github.com/pitcrew-dev/pitcrew/sidecar/stk"
)

// imitation is as much of a server as the adapter sees: its socket, its answer to the LAN query on the same port, its log.
type imitation struct {
	t    *testing.T
	port uint16
	log  string
	stop func()

	mu      sync.Mutex
	players []player
	joined  int
}

type player struct{ name, addr string }

func newImitation(t *testing.T) *imitation {
	t.Helper()
	s := &imitation{t: t, log: filepath.Join(t.TempDir(), "server.log")}
	s.open() // the kernel chooses the port
	s.stop()
	return s
}

func (s *imitation) open() {
	s.t.Helper()
	c, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		s.t.Fatal(err)
	}
	s.port = uint16(c.LocalAddr().(*net.UDPAddr).Port)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			n := byte(len(s.players))
			s.mu.Unlock()
			c.WriteTo([]byte{0, 0, 0, 6, 1, 'S', 100, n, byte(s.port >> 8), byte(s.port), 0, 3, 0, 0, 0}, from)
		}
	}()
	var once sync.Once
	s.stop = func() { once.Do(func() { c.Close(); <-done }) }
	s.t.Cleanup(s.stop)
}

func (s *imitation) writes(format string, args ...any) {
	s.t.Helper()
	f, err := os.OpenFile(s.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, date+"[info   ] "+format+"\n", args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *imitation) join(name string) {
	s.mu.Lock()
	s.joined++
	p := player{name, fmt.Sprintf("127.0.0.1:%d", 40000+s.joined)}
	s.players = append(s.players, p)
	s.mu.Unlock()
	s.writes("ServerLobby: New player %s with online id 0 from %s with SuperTuxKart/1.4 (Linux).", name, p.addr)
}

func (s *imitation) leave(name string) {
	s.mu.Lock()
	i := 0
	for s.players[i].name != name {
		i++
	}
	p := s.players[i]
	s.players = append(s.players[:i:i], s.players[i+1:]...)
	left := len(s.players)
	s.mu.Unlock()
	s.writes("STKHost: %s has just disconnected. There are now %d peers.", p.addr, left)
}

func TestConformance(t *testing.T) {
	gametest.Test(t, func(t *testing.T) gametest.Rig {
		t.Helper()
		s, looks := newImitation(t), gametest.NewLooks()
		return gametest.Rig{
			Game: stk.New(stk.Options{
				Port: s.port, Log: s.log, Query: fmt.Sprintf("127.0.0.1:%d", s.port), Every: 10 * time.Millisecond,
				Observed: stk.Observed{Socket: looks.Socket},
			}),
			Open:  func() { s.open(); s.writes("STKHost: Listening has been started.") },
			Close: func() { s.stop() },
			Join:  s.join, Leave: s.leave, Look: looks.Wait,
		}
	})
}
