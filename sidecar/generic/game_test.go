package generic_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/generic"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

func TestAQueueThatDoesNotShrinkIsSilence(t *testing.T) {
	here, elsewhere := "query: {text: a, answer: '^b'}", "query: {text: a, answer: '^b', port: 1}"
	type look struct {
		queued int
		silent bool
	}
	for _, c := range []struct {
		name     string
		protocol socket.Protocol
		patterns string
		looks    []look
	}{
		{"nobody speaks to it", socket.UDP, "", []look{{0, false}, {0, false}}},
		{"it does not read", socket.UDP, "", []look{{100, true}, {100, true}, {900, true}}},
		{"it reads again", socket.UDP, "", []look{{900, true}, {0, false}}},
		{"its port goes", socket.UDP, "", []look{{0, false}, {-1, true}}},
		{"it does not accept", socket.TCP, "", []look{{1, true}, {2, true}, {0, false}}},
		{"a question would wait in the queue", socket.UDP, here, []look{{0, false}, {8, true}}},
		{"a question waits in another queue", socket.UDP, elsewhere, []look{{0, true}, {8, true}}},
		{"a question does not wait to be accepted", socket.TCP, here, []look{{0, true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, o := newKernel(t), generic.Options{Port: port, Protocol: c.protocol}
			if o.ProcNet = k.dir; c.patterns != "" {
				o.Patterns = parse(t, c.patterns)
			}
			k.has(c.protocol, c.looks[0].queued)
			w := watch(t, o)
			for i, l := range c.looks {
				k.has(c.protocol, l.queued)
				w.Wait() // the look at which it shrinks is a sign whatever follows
				if got := w.silent(); got != l.silent {
					t.Errorf("look %d, %d in the queue: silent = %t, want %t", i, l.queued, got, l.silent)
				}
			}
		})
	}
}

func TestOneLessInTheQueueIsASign(t *testing.T) {
	k := newKernel(t)
	k.has(socket.UDP, 900)
	w := watch(t, generic.Options{Port: port, ProcNet: k.dir})
	w.Wait()
	if w.is(func() bool { return len(w.told) > 0 && w.signs(sidecar.Socket) > 0 }) {
		t.Error("a queue that is full is a sign")
	}
	k.has(socket.UDP, 899)
	w.until("a sign", func() bool { return len(w.state.Signs) > 0 })
}

func TestAStoppedProcess(t *testing.T) {
	t.Run("looks well until the first packet waits", func(t *testing.T) {
		for _, protocol := range []string{"udp", "tcp"} {
			s := newServer(t, protocol)
			s.open()
			w := watch(t, generic.Options{Port: s.port, Protocol: socket.Protocol(protocol)})
			w.until("it serves", func() bool { return w.state.Serving })
			s.signal(syscall.SIGSTOP)
			w.Wait()
			if w.silent() {
				t.Errorf("%s: it is silent although nobody speaks to it", protocol)
			}
			s.packet()
			w.Wait()
			if !w.silent() {
				t.Errorf("%s: a packet waits, and it counts as alive", protocol)
			}
			s.signal(syscall.SIGCONT)
			w.untilMore(sidecar.Socket)
		}
	})
	t.Run("is found out by a question", func(t *testing.T) {
		s := newServer(t, "udp")
		s.open()
		w := watch(t, generic.Options{Port: s.port, Patterns: parse(t, "query: {text: ask, answer: '^.. players (?P<count>\\d)$'}")})
		w.until("it serves, with three players", func() bool { return w.state.Serving && w.state.Known && w.state.Count == 3 })
		s.signal(syscall.SIGSTOP)
		w.until("it does not answer", func() bool { return w.asked[len(w.asked)-1] != nil })
		if w.Wait(); !w.silent() {
			t.Error("its question waits, and it counts as alive")
		}
		s.signal(syscall.SIGCONT)
		w.untilMore(sidecar.Answer)
	})
}

func TestTheExampleOfAQuestionUnderstandsItsAnswer(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	defer func() { c.Close(); <-done }()
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if string(buf[:n]) == "\xff\xff\xff\xffgetinfo" {
				c.WriteTo([]byte("\xff\xff\xff\xffinfoResponse\n\\sv_maxclients\\8\\hostname\\clients 7\\clients\\2\\mapname\\q3dm17"), from)
			}
		}
	}()
	w := watch(t, generic.Options{Port: uint16(c.LocalAddr().(*net.UDPAddr).Port), Patterns: parse(t, string(readFile(t, examples, "getinfo.yaml")))})
	w.until("two players", func() bool { return w.state.Serving && w.state.Known && w.state.Count == 2 })
}

func TestAnAnswerThatIsNotTheExpectedOneIsNone(t *testing.T) {
	s := newServer(t, "udp")
	s.open()
	w := watch(t, generic.Options{Port: s.port, Patterns: parse(t, "query: {text: ask, answer: '^pong'}")})
	w.until("an answer", func() bool { return len(w.asked) > 2 })
	if !w.is(func() bool { return errors.Is(w.asked[0], generic.ErrAnswer) }) {
		t.Error("the question did not end with ErrAnswer")
	}
	if w.is(func() bool { return w.signs(sidecar.Answer) > 0 || w.state.Serving }) {
		t.Error("it serves, or lives by its answer")
	}
}

func TestWhoeverTakesThePortHasToAnswer(t *testing.T) {
	s := newServer(t, "udp")
	s.open()
	w := watch(t, generic.Options{Port: s.port, Patterns: parse(t, "query: {text: ask, answer: '^.. players \\d$'}")})
	w.until("it answers", func() bool { return w.state.Serving })
	s.close()
	w.until("it is gone", func() bool { return !w.state.Serving })
	mute, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	w.Wait()
	if w.Wait(); w.is(func() bool { return w.state.Serving }) {
		t.Error("it serves: somebody else has its port, and the answer is of the one before")
	}
}

func TestHistoryIsToldAtOnce(t *testing.T) {
	w := watchLog(t, all, "1 up", "1 + Alice", "1 + Bob", "1 loading", "1 go abyss soccer", "1 result", "1 lobby", "1 - Alice", "1 loading", "1 go hacienda race")
	w.until("who is there", func() bool { return w.state.Known })
	w.Wait()
	var got []sidecar.Happening
	for _, h := range w.now() {
		if h != (sidecar.Alive{By: sidecar.Socket}) {
			got = append(got, h)
		}
	}
	want := []sidecar.Happening{
		sidecar.Serves{Now: true},
		sidecar.Plays{Match: sidecar.Racing, Track: "hacienda", Mode: "race"},
		sidecar.RacesEnded{Total: 1},
		sidecar.Here{Players: []sidecar.Player{{ID: "p-2", Name: "Bob"}}, Count: -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	w.writes("1 anything")
	w.until("the line is a sign", func() bool { return !w.state.Signs[sidecar.Log].IsZero() })
	if w.is(func() bool { return w.lines[true] != 10 || w.lines[false] != 1 }) {
		t.Errorf("lines understood and not: %v, want 10 and 1", w.lines)
	}
}

func TestTheLogSaysWhoIsThere(t *testing.T) {
	w := watchLog(t, all)
	w.Wait()
	if w.is(func() bool { return w.state.Known || w.state.Serving }) {
		t.Error("players are known, or it serves, before the log says that it does")
	}
	w.writes("1 up")
	w.until("nobody is there", func() bool { return w.state.Known && w.state.PlayersThere() == 0 })
	for i, c := range []struct{ line, want string }{
		{"1 + Bob", "p-1"},
		{"1 + Eve", "p-1 p-2"},
		{"1 + Bob", "p-1 p-2 p-3"},
		{"1 - Bob", "p-2 p-3"}, // of two with one name the first goes
		{"1 - Nobody\n1 mode 1", "p-2 p-3"},
		{"1 - Bob", "p-2"},
		{"1 - Bob\n1 mode 2", "p-2"},
		{"1 + Bob", "p-2 p-4"},
		{"1 + " + strings.Repeat("x", 20_000) + "\n1 mode 3", "p-2 p-4"}, // cut
		{"1 + " + strings.Repeat("x", 2_000), "p-2 p-4 p-5"},
		{"1 - " + strings.Repeat("x", 2_000), "p-2 p-4"},
		{"1 down", ""},
		{"1 + Late", "p-6"},
	} {
		w.writes(c.line)
		_, mode, waits := strings.Cut(c.line, "mode ")
		w.until(fmt.Sprintf("%s after line %d", c.want, i), func() bool {
			return strings.Join(w.ids(), " ") == c.want && w.state.PlayersThere() == len(w.ids()) && (!waits || w.state.Mode == mode)
		})
	}
	w.until("it stopped", func() bool { return !w.state.Serving })
}

func TestPlayersWhoHaveAnIDAreKnownByIt(t *testing.T) {
	w := watchLog(t, "join: '^:join:(?P<id>\\d+):(?P<player>.*)$'\nleave: '^:part:(?P<id>\\d+)$'")
	for _, c := range []struct{ line, want string }{
		{":join:1:Bob", "p-1 Bob"}, {":join:2:Bob", "p-1 Bob p-2 Bob"}, {":join:1:Eve", "p-1 Eve p-2 Bob"}, // a map changed: the same one
		{":part:2", "p-1 Eve"}, {":join:2::part:1", "p-1 Eve p-3 :part:1"},
	} {
		w.writes(c.line)
		w.until(c.want, func() bool {
			var all []string
			for _, p := range w.state.Players {
				all = append(all, p.ID, p.Name)
			}
			return strings.Join(all, " ") == c.want
		})
	}
}

func TestPlayersAreBounded(t *testing.T) {
	var lines []string
	for i := range generic.MaxPlayers + 5 {
		lines = append(lines, fmt.Sprintf("1 + player %d", i))
	}
	w := watchLog(t, all, append([]string{"1 up"}, lines...)...)
	w.until("as many as fit", func() bool { return len(w.state.Players) == generic.MaxPlayers })
	w.writes("1 - player 1", "1 - player 1004", "1 mode done")
	w.until("one less", func() bool { return w.state.Mode == "done" && len(w.state.Players) == generic.MaxPlayers-1 })
}

func TestACountDecides(t *testing.T) {
	t.Run("the log's, once it was said", func(t *testing.T) {
		w := watchLog(t, all, "1 up", "1 + Alice")
		w.until("Alice is there", func() bool { return w.state.PlayersThere() == 1 })
		w.writes("1 count 3")
		w.until("three, of whom one has a name", func() bool {
			return w.state.PlayersThere() == 3 && len(w.state.Players) == 1 && !w.state.Disagree.IsZero()
		})
		w.writes("1 count 4000", "1 mode x")
		w.until("what is beyond belief changes nothing", func() bool { return w.state.Mode == "x" && w.state.Count == 3 })
		w.writes("1 down")
		w.until("nobody", func() bool { return w.state.PlayersThere() == 0 })
	})
	t.Run("the answer's before the log's", func(t *testing.T) {
		s := newServer(t, "udp")
		s.writes("0 players")
		s.open()
		w := watch(t, generic.Options{Port: s.port, Log: s.log, Patterns: parse(t, "players: '^(?P<count>\\d+) players$'\nquery: {text: ask, answer: '^.. players (?P<count>\\d)$'}")})
		w.until("three", func() bool { return w.state.Count == 3 })
		s.writes("7 players", "8 players")
		w.until("the lines are read", func() bool { return w.lines[true] == 3 })
		w.Wait()
		if w.is(func() bool { return w.state.Count != 3 }) {
			t.Error("the log's count decides, want the answer's")
		}
	})
	t.Run("and without one nothing is known", func(t *testing.T) {
		w := watchLog(t, "serving: '^up$'\nplayers: '^(?P<count>\\d+)$'", "up")
		w.until("it serves", func() bool { return w.state.Serving })
		if w.Wait(); w.is(func() bool { return w.state.Known }) {
			t.Error("players are known before a count was said")
		}
		w.writes("0")
		w.until("nobody is there", func() bool { return w.state.Known && w.state.Count == 0 })
	})
}

func TestMatches(t *testing.T) {
	const lobby = "serving: '^up$'\nmatch_starting: '^load$'\nmatch_started: '^go$'\nmatch_ended: '^result$'\nlobby: '^lobby$'\n"
	noLobby := strings.ReplaceAll(lobby, "lobby: '^lobby$'\n", "")
	for _, c := range []struct {
		name, patterns, lines string
		want                  []sidecar.Match
		races                 int64
	}{
		{"with a lobby", lobby, "up load go result lobby", []sidecar.Match{sidecar.Lobby, sidecar.MatchStarting, sidecar.Racing, sidecar.Racing, sidecar.Lobby}, 1},
		{"without", noLobby, "up load go result load", []sidecar.Match{sidecar.Lobby, sidecar.MatchStarting, sidecar.Racing, sidecar.Lobby, sidecar.MatchStarting}, 1},
		{"that only end", "match_ended: '^result$'", "up result result", []sidecar.Match{"", "", ""}, 2},
		{"of which nothing is said", "serving: '^up$'", "up go", []sidecar.Match{"", ""}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := watchLog(t, c.patterns+"\nmode: '^mode (?P<mode>\\d+)$'")
			for i, line := range strings.Fields(c.lines) {
				w.writes(line, fmt.Sprintf("mode %d", i))
				w.until(line, func() bool { return w.state.Mode == fmt.Sprint(i) })
				w.mu.Lock()
				if w.state.Match != c.want[i] {
					t.Errorf("after %q: match %q, want %q", line, w.state.Match, c.want[i])
				}
				w.mu.Unlock()
			}
			w.until("races", func() bool { return w.state.Races == c.races })
		})
	}
}

func TestAFatalLineCountsOnlyWhileItDoesNotServe(t *testing.T) {
	t.Run("it gave up", func(t *testing.T) {
		w := watchLog(t, all, "1 fatal no map")
		w.until("a fault", func() bool { return w.state.Fault != "" })
		w.writes("1 up")
		w.until("another one serves", func() bool { return w.state.Fault == "" && w.state.Serving })
	})
	t.Run("a stranger says so", func(t *testing.T) {
		w := watchLog(t, all, "1 up", "1 fatal no map")
		w.writes("1 fatal no map", "1 mode done")
		w.until("the lines are read", func() bool { return w.state.Mode == "done" })
		if slices.ContainsFunc(w.now(), func(h sidecar.Happening) bool { _, f := h.(sidecar.Faulty); return f }) {
			t.Error("a line in the log of a server that serves made it faulty")
		}
	})
}

func TestItServesOnlyWhileBoundAndSaid(t *testing.T) {
	k := newKernel(t)
	k.has(socket.UDP, -1)
	s := &server{t: t, log: t.TempDir() + "/game.log"}
	w := watch(t, generic.Options{Port: port, ProcNet: k.dir, Log: s.log, Patterns: parse(t, "serving: '^up$'\nstopped: '^down$'")})
	serves := func(want bool) func() bool { return func() bool { return w.state.Serving == want } }
	s.writes("up")
	w.until("the line is read", func() bool { return w.lines[true] == 1 })
	if w.Wait(); w.is(func() bool { return w.state.Serving }) {
		t.Error("it serves without a socket")
	}
	k.has(socket.UDP, 0)
	w.until("bound and said", serves(true))
	s.writes("down")
	w.until("stopped", serves(false))
	s.writes("up")
	w.until("up again", serves(true))
	k.has(socket.UDP, -1)
	w.until("unbound", serves(false))
}
