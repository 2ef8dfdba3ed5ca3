package stk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
	"github.com/pitcrew-dev/pitcrew/sidecar/tail"
)

// Options say where the server is. Port and Log are needed.
type Options struct {
	// Port is the one that the server was told to serve on.
	Port uint16
	// Log is the path of the server's log file, which need not be there yet.
	Log string
	// Query is the address of the LAN query; 127.0.0.1:2757 if empty.
	Query string
	// ProcNet is /proc/net if empty.
	ProcNet string
	// Every is how often the server is asked, and how long it may take to answer; a second if 0.
	Every time.Duration
	// Silence is how long an answer counts; 5 s if 0.
	Silence time.Duration
	Logger  *slog.Logger
	// Observed is told of every line and every question, for metrics.
	Observed Observed
}

// Observed are counters; those that are nil are not told.
type Observed struct {
	// Line is told whether a line was understood.
	Line func(understood bool)
	// Asked is told how long the answer took, or why there is none.
	Asked func(took time.Duration, err error)
	// Socket is told what the kernel says.
	Socket func(socket.Socket)
}

// Game is a server that is watched.
type Game struct {
	o Options

	// Owned by the goroutine of Observe.
	emit      func(sidecar.Happening)
	listening bool
	listened  bool   // it listened since its log began: what it says of its ports was said
	wrong     uint16 // the port that the server took instead of its own
	noQuery   bool
	bound     bool
	queued    int64
	taken     int64     // datagrams that were read in this network
	took      time.Time // when the server was last seen to read one
	answered  time.Time // the latest answer
	asked     time.Time // the latest question
	info      Info
	joined    int
	players   []seated
	races     int64
	match     sidecar.Match
	serving   bool
}

// seated is a player whom the log named.
type seated struct {
	sidecar.Player
	addr netip.AddrPort
}

// New makes one.
func New(o Options) *Game {
	if o.Query == "" {
		o.Query = "127.0.0.1:" + strconv.Itoa(QueryPort)
	}
	if o.ProcNet == "" {
		o.ProcNet = "/proc/net"
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Silence == 0 {
		o.Silence = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Game{o: o}
}

// Observe tells emit, from one goroutine, what the server does until ctx ends; then it returns nil.
func (g *Game) Observe(ctx context.Context, emit func(sidecar.Happening)) error {
	g.emit = emit
	group, ctx := errgroup.WithContext(ctx)
	lines := make(chan line, 64)
	group.Go(func() error {
		return tail.Follow(ctx, g.o.Log, func(l tail.Line) {
			select {
			case lines <- line{says: Parse(l.Text), first: l.First, old: l.Old}:
			case <-ctx.Done():
			}
		})
	})
	group.Go(func() error { g.loop(ctx, lines); return ctx.Err() })
	if err := group.Wait(); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// line is one of the log's, taken apart.
type line struct {
	says       any
	first, old bool
}

func (g *Game) loop(ctx context.Context, lines <-chan line) {
	tick := time.NewTimer(g.o.Every)
	defer tick.Stop()
	for {
		select {
		case l := <-lines:
			if l.first {
				g.begin()
			}
			// What was there before tells what is, and nothing of when: it is no sign of life, and a long log is no reason to ask
			// the server again and again.
			if g.line(l.says, l.old) && !l.old {
				g.look(ctx)
			}
			if _, listens := l.says.(Listening); listens && !l.old {
				g.rush(ctx)
			}
		case <-tick.C:
			g.look(ctx)
			tick.Reset(g.o.Every)
		case <-ctx.Done():
			return
		}
	}
}

// rush asks a server that has just said that it listens again and again, for a few seconds at most: it opens the port of the query a
// moment after it has said so.
func (g *Game) rush(ctx context.Context) {
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(2 * time.Second); !g.serving && !g.noQuery && g.wrong == 0 && time.Now().Before(end); g.look(ctx) {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// begin forgets what the log of an earlier server said: a server begins a log of its own.
func (g *Game) begin() {
	g.listening, g.listened, g.noQuery, g.players, g.match, g.answered = false, false, false, nil, "", time.Time{}
	if g.wrong != 0 {
		g.wrong = 0
		g.emit(sidecar.Faulty{})
	}
}

// line takes in a line, and says whether it is worth a look at the server at once.
func (g *Game) line(what any, old bool) (look bool) {
	if g.o.Observed.Line != nil {
		_, unknown := what.(Unknown)
		g.o.Observed.Line(!unknown)
	}
	switch x := what.(type) {
	case Query, Unknown:
		return false
	case Listening:
		g.listening, g.listened, look = true, true, true
	case NotListening:
		g.listening, look = false, true
	case NoQueryPort, PortTaken, ServerPort:
		g.boot(x)
	case PlayerJoined:
		g.seat(x)
		look = true
	case PeerLeft:
		g.players = slices.DeleteFunc(g.players, func(p seated) bool { return p.addr == x.Addr })
		look = true
	case RaceLoading:
		g.match, look = sidecar.MatchStarting, true
	case RaceStarted:
		g.match, look = sidecar.Racing, true
	case RaceFinished:
		g.finished()
	case LobbyReset:
		g.match, look = sidecar.Lobby, true
	case Fatal:
		g.o.Logger.Error("the game gave up", "reason", x.Text)
	}
	if !old {
		g.emit(sidecar.Alive{By: sidecar.Log})
	}
	return look
}

// boot takes in what a server says before it listens. Nobody can have joined then; later such a line is a player's name that
// contains the end of a line.
func (g *Game) boot(what any) {
	if g.listened {
		return
	}
	switch x := what.(type) {
	case NoQueryPort:
		g.noQuery = true
	case PortTaken:
		g.o.Logger.Warn("the game's port is taken by somebody else", "port", x.Port)
	case ServerPort:
		if x.Port != g.o.Port {
			g.wrong = x.Port
			g.emit(sidecar.Faulty{Reason: fmt.Sprintf("the game listens on port %d instead of %d", x.Port, g.o.Port)})
		}
	}
}

// Bounds of what the log can make us keep; a server has at most 255 players, as its answer can count no more.
const (
	maxPlayers = 255
	maxName    = 256 // bytes
)

// seat takes in a player whom the log names. Beyond the bound the oldest is forgotten.
func (g *Game) seat(x PlayerJoined) {
	g.joined++
	name := strings.ToValidUTF8(x.Name[:min(len(x.Name), maxName)], "\uFFFD") // it may go into the GameServer
	g.players = append(g.players, seated{sidecar.Player{ID: sidecar.IDPrefix + strconv.Itoa(g.joined), Name: name}, x.Addr})
	if len(g.players) > maxPlayers {
		g.players = slices.Delete(g.players, 0, 1)
	}
}

// finished counts a race, unless the server said a moment ago that none is on.
func (g *Game) finished() {
	if g.answers() && !g.info.Started {
		return
	}
	g.races++
	g.emit(sidecar.RacesEnded{Total: g.races})
}

// look asks the kernel and the server.
func (g *Game) look(ctx context.Context) {
	g.askKernel()
	g.ask(ctx)
	if ctx.Err() != nil {
		return
	}
	g.tell()
}

func (g *Game) askKernel() {
	s, err := socket.Read(g.o.ProcNet, socket.UDP, g.o.Port)
	if err != nil {
		g.o.Logger.Warn("cannot read the kernel's table of sockets", "error", err)
		return
	}
	if g.o.Observed.Socket != nil {
		g.o.Observed.Socket(s)
	}
	taken, err := socket.Taken(g.o.ProcNet)
	if err != nil {
		g.o.Logger.Warn("cannot read the kernel's counters of datagrams", "error", err)
	}
	// Its queue became shorter; or players send, something was read, and nothing waits at the game's socket. We read
	// what we asked for, which is not counted here: an answer is a better sign.
	read := s.Queued < g.queued || s.Queued == 0 && len(g.players) > 0 && taken > g.taken && !g.answers()
	if s.Bound && read {
		g.took = time.Now()
		g.emit(sidecar.Alive{By: sidecar.Socket})
	}
	g.bound, g.queued, g.taken = s.Bound, s.Queued, taken
}

// rarely is how often a server is asked that reads what players send and does not answer, in times of Every: one that has
// started a grand prix lets questions lie until it is over.
const rarely = 5

func (g *Game) ask(ctx context.Context) {
	if g.noQuery || g.wrong != 0 {
		return // whoever answers is another server
	}
	if !g.answers() && g.reads() && time.Since(g.asked) < rarely*g.o.Every {
		return
	}
	start := time.Now()
	g.asked = start
	patient, cancel := context.WithTimeout(ctx, g.o.Every)
	defer cancel()
	info, err := Ask(patient, g.o.Query)
	if ctx.Err() != nil {
		return
	}
	if err == nil && info.Port != g.o.Port {
		err = fmt.Errorf("the answer is of a server on port %d, not %d", info.Port, g.o.Port)
	}
	if g.o.Observed.Asked != nil {
		g.o.Observed.Asked(time.Since(start), err)
	}
	if err == nil {
		g.info, g.answered = info, time.Now()
		g.emit(sidecar.Alive{By: sidecar.Answer})
	}
}

func (g *Game) answers() bool { return !g.answered.IsZero() && time.Since(g.answered) < g.o.Silence }

// reads says that it answered once, and is too busy to do it now.
func (g *Game) reads() bool {
	return !g.answered.IsZero() && !g.took.IsZero() && time.Since(g.took) < g.o.Silence
}

// tell says what follows of all that is known.
func (g *Game) tell() {
	answers := g.answers()
	serving := g.bound && g.wrong == 0 && (answers || g.listening && (g.noQuery || g.reads()))
	if serving != g.serving {
		g.serving = serving
		g.emit(sidecar.Serves{Now: serving})
	}
	if !answers && !g.listening {
		return // nothing is known of players before the game serves
	}
	plays, here := sidecar.Plays{Match: g.match}, sidecar.Here{Count: -1}
	if answers {
		plays.Mode = g.info.ModeName()
		here.Count = g.info.Players
		plays.Track = g.info.Track
		plays.Match = g.matchOf(g.info)
		if g.info.Players == 0 {
			g.players = nil // whom the log still names has never been there, or is gone
		}
	}
	for _, p := range g.players {
		here.Players = append(here.Players, p.Player)
	}
	g.emit(plays)
	g.emit(here)
}

// matchOf takes the answer's word for whether the lobby was left. It names the track only some ten seconds after the karts went,
// which the log says at once.
func (g *Game) matchOf(i Info) sidecar.Match {
	switch {
	case !i.Started:
		return sidecar.Lobby
	case i.Track != "" || g.match == sidecar.Racing:
		return sidecar.Racing
	}
	return sidecar.MatchStarting
}
