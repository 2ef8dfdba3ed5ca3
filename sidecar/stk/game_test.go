package stk_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/stk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is what a Game sees of one: a log, an answer to the query, and the kernel's tables.
type server struct {
	t    *testing.T
	dir  string
	conn net.PacketConn

	mu   sync.Mutex
	info *stk.Info // nil: it does not answer
	seen []sidecar.Happening
}

const gamePort = 2759

// watch starts a game that is looked at all the time.
func watch(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	var err error
	if s.conn, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(s.answer)
	s.kernel(0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	g := stk.New(stk.Options{
		Port: gamePort, Log: s.log(), Query: s.conn.LocalAddr().String(), ProcNet: s.dir, Every: 20 * time.Millisecond, Silence: 500 * time.Millisecond,
	})
	wait.Go(func() {
		if err := g.Observe(ctx, s.see); err != nil {
			t.Errorf("Observe() = %v, want nil when its context ends", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		s.conn.Close()
		wait.Wait()
	})
	return s
}

func (s *server) log() string { return filepath.Join(s.dir, "server.log") }

func (s *server) write(lines ...string) {
	s.t.Helper()
	f, err := os.OpenFile(s.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for _, l := range lines {
		if _, err := fmt.Fprintf(f, "%s[info   ] %s\n", date, l); err != nil {
			s.t.Fatal(err)
		}
	}
}

// kernel says that the game's port is bound, how much waits there, and how many datagrams were read in all.
func (s *server) kernel(queued, taken int) {
	s.t.Helper()
	udp := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n" +
		fmt.Sprintf("  1: 00000000:%04X 00000000:0000 07 00000000:%08X 00:00000000 00000000     0        0 1 2 0 0\n", gamePort, queued)
	snmp := fmt.Sprintf("Udp: InDatagrams NoPorts\nUdp: %d 0\n", taken)
	for name, text := range map[string]string{"udp": udp, "snmp": snmp} {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) says(i *stk.Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info = i
}

func (s *server) answer() {
	buf := make([]byte, 100)
	for {
		_, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		if s.info != nil {
			_, _ = s.conn.WriteTo(encode(*s.info), from) // who asked may have gone
		}
		s.mu.Unlock()
	}
}

func encode(i stk.Info) []byte {
	b := binary.BigEndian.AppendUint32(nil, i.Version)
	b = append(append(b, byte(len(i.Name))), i.Name...)
	b = append(b, byte(i.MaxPlayers), byte(i.Players))
	b = binary.BigEndian.AppendUint16(b, i.Port)
	started := byte(0)
	if i.Started {
		started = 1
	}
	b = append(b, i.Difficulty, i.Mode, 0, started)
	return append(append(b, byte(len(i.Track))), i.Track...)
}

func (s *server) see(h sidecar.Happening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, h)
}

// forget drops what was seen, and returns once everything that was under way is seen, too.
func (s *server) forget() {
	s.t.Helper()
	s.mu.Lock()
	s.seen = nil
	s.mu.Unlock()
}

// latest is the last happening of a kind.
func latest[H sidecar.Happening](s *server) (last H, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.seen {
		if x, is := h.(H); is {
			last, ok = x, true
		}
	}
	return last, ok
}

func (s *server) until(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("never: %s", what)
		}
	}
}

func (s *server) serves(want bool) func() bool {
	return func() bool { x, ok := latest[sidecar.Serves](s); return ok && x.Now == want }
}

func (s *server) alive(by sidecar.Signal) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, h := range s.seen {
			if h == (sidecar.Alive{By: by}) {
				return true
			}
		}
		return false
	}
}

// up is a server that serves, in the lobby.
func up(t *testing.T) *server {
	t.Helper()
	s := watch(t)
	s.write("STKHost: Server port is 2759", "STKHost: Listening has been started.")
	s.says(&stk.Info{Version: 6, Name: "x", MaxPlayers: 8, Port: gamePort, Mode: 3})
	s.until("it serves", s.serves(true))
	return s
}

func join(name string, port int) string {
	return fmt.Sprintf("ServerLobby: New player %s with online id 0 from 127.0.0.1:%d with AI.", name, port)
}

func TestANameThatContainsWholeLinesChangesNothing(t *testing.T) {
	s := up(t)
	line := "\n" + date + "[info   ] "
	s.says(&stk.Info{Version: 6, Name: "x", MaxPlayers: 8, Players: 1, Port: gamePort, Mode: 3})
	s.write(join("Eve"+strings.Join([]string{
		"", "STKHost: Server port is 1", "STKHost: No direct socket available", "Network: 2759 port is in used, use another port",
		"STKHost: Listening has been stopped.", "ServerLobby: The game is considered finished.", "STKHost: Server port is 7", "",
	}, line), 1))
	s.write(join("Alice", 2))
	s.until("Alice is there", func() bool {
		h, _ := latest[sidecar.Here](s)
		return len(h.Players) > 0 && h.Players[len(h.Players)-1].Name == "Alice"
	})
	s.forget()
	s.until("an answer", s.alive(sidecar.Answer)) // it is still asked
	if f, ok := latest[sidecar.Faulty](s); ok {
		t.Errorf("a name made it %+v", f)
	}
	if _, ok := latest[sidecar.RacesEnded](s); ok {
		t.Error("a name ended a race that was not on")
	}
	if x, ok := latest[sidecar.Serves](s); ok {
		t.Errorf("a name made it %+v", x)
	}
	h, _ := latest[sidecar.Here](s)
	if h.Count != 1 {
		t.Errorf("count = %d, want the answer's, 1", h.Count)
	}
}

func TestWhatTheLogNamesIsBounded(t *testing.T) {
	s := up(t)
	s.says(&stk.Info{Version: 6, Name: "x", MaxPlayers: 8, Players: 3, Port: gamePort, Mode: 3})
	for i := range 1000 {
		s.write(join(strings.Repeat("n", 5000), i+1))
	}
	s.write(join("last", 5))
	s.until("the last one is there", func() bool {
		h, _ := latest[sidecar.Here](s)
		return len(h.Players) > 0 && h.Players[len(h.Players)-1].Name == "last"
	})
	h, _ := latest[sidecar.Here](s)
	if len(h.Players) > 255 || len(h.Players[0].Name) > 256 {
		t.Errorf("%d players are named, the first in %d bytes", len(h.Players), len(h.Players[0].Name))
	}
	s.says(&stk.Info{Version: 6, Name: "x", MaxPlayers: 8, Port: gamePort, Mode: 3})
	s.until("nobody is named who is not there", func() bool { h, _ := latest[sidecar.Here](s); return len(h.Players) == 0 && h.Count == 0 })
}

// A grand prix that has begun leaves questions unanswered until it is over; measured with STK 1.4.
func TestAServerThatIsTooBusyToAnswerLivesByItsSocket(t *testing.T) {
	s := up(t)
	s.says(&stk.Info{Version: 6, Name: "x", MaxPlayers: 8, Players: 2, Port: gamePort, Mode: 0, Started: true})
	s.write(join("a", 1), join("b", 1), "ServerLobbyRoom: Starting the race loading.")
	s.until("two players", func() bool { h, _ := latest[sidecar.Here](s); return h.Count == 2 && len(h.Players) == 2 })
	s.says(nil)
	s.until("the answer is too old", func() bool { h, _ := latest[sidecar.Here](s); return h.Count == -1 })
	taken := 10
	plays := func() { taken++; s.kernel(0, taken) }
	s.until("it serves again, by its socket", func() bool { plays(); return s.serves(true)() })
	s.forget()
	s.until("signs of life", func() bool { plays(); return s.alive(sidecar.Socket)() })
	if h, _ := latest[sidecar.Here](s); len(h.Players) != 2 {
		s.until("the players of the log", func() bool { plays(); h, _ := latest[sidecar.Here](s); return len(h.Players) == 2 })
	}
	s.kernel(500, taken) // it was stopped: what players send waits
	s.until("it no longer serves", s.serves(false))
	s.forget()
	s.kernel(900, taken+5) // somebody else reads
	s.until("a look", func() bool { _, ok := latest[sidecar.Here](s); return ok })
	if s.alive(sidecar.Socket)() {
		t.Error("a server that reads nothing gave a sign of life")
	}
}

func TestAnotherServersLogStartsAfresh(t *testing.T) {
	s := watch(t)
	s.write("STKHost: Server port is 50269", "STKHost: Listening has been started.")
	s.until("the fault", func() bool { f, _ := latest[sidecar.Faulty](s); return strings.Contains(f.Reason, "50269") })
	if err := os.Rename(s.log(), s.log()+".1"); err != nil {
		t.Fatal(err)
	}
	s.says(&stk.Info{Version: 6, Name: "x", MaxPlayers: 8, Port: gamePort, Mode: 3})
	s.write("STKHost: Server port is 2759", "STKHost: Listening has been started.")
	s.until("it serves", s.serves(true))
	if f, _ := latest[sidecar.Faulty](s); f.Reason != "" {
		t.Errorf("fault = %q, want that of the earlier server gone", f.Reason)
	}
}

func TestOldLinesAreNoSignOfLife(t *testing.T) {
	dir := t.TempDir()
	before := &server{t: t, dir: dir}
	before.write("STKHost: Server port is 2759", "STKHost: Listening has been started.", join("a", 1))
	before.kernel(0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	g := stk.New(stk.Options{Port: gamePort, Log: before.log(), Query: "127.0.0.1:1", ProcNet: dir, Every: 20 * time.Millisecond})
	go func() { done <- g.Observe(ctx, before.see) }()
	before.until("the player whom it names", func() bool { h, _ := latest[sidecar.Here](before); return len(h.Players) == 1 })
	if before.alive(sidecar.Log)() {
		t.Error("a line that was there before is a sign of life")
	}
	before.write("STKHost: 127.0.0.1:1 has just disconnected. There are now 0 peers.")
	before.until("a sign of life", before.alive(sidecar.Log))
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Observe() = %v", err)
	}
}
