package stk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
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
	// Every is how often the server is asked; a second if 0.
	Every  time.Duration
	Logger *slog.Logger
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
	wrong     uint16 // the port that the server took instead of its own
	noQuery   bool
	bound     bool
	queued    int64
	answered  time.Time // the latest answer
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Game{o: o}
}

// silence is how long an answer counts.
const silence = 5 * time.Second

// Observe tells emit, from one goroutine, what the server does until ctx ends; then it returns nil.
func (g *Game) Observe(ctx context.Context, emit func(sidecar.Happening)) error {
	g.emit = emit
	group, ctx := errgroup.WithContext(ctx)
	lines := make(chan any, 64)
	group.Go(func() error {
		return tail.Follow(ctx, g.o.Log, func(text []byte, _ bool) {
			select {
			case lines <- Parse(text):
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

func (g *Game) loop(ctx context.Context, lines <-chan any) {
	tick := time.NewTicker(g.o.Every)
	defer tick.Stop()
	for {
		select {
		case line := <-lines:
			if g.line(line) {
				g.look(ctx)
			}
		case <-tick.C:
			g.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// line takes in a line, and says whether it is worth a look at the server at once.
func (g *Game) line(what any) (look bool) {
	if g.o.Observed.Line != nil {
		_, unknown := what.(Unknown)
		g.o.Observed.Line(!unknown)
	}
	switch x := what.(type) {
	case Query, Unknown:
		return false
	case Listening:
		g.listening = true
		look = true
	case NotListening:
		g.listening = false
		look = true
	case NoQueryPort:
		g.noQuery = true
	case PortTaken, ServerPort:
		g.port(x)
	case PlayerJoined:
		g.joined++
		id := sidecar.IDPrefix + strconv.Itoa(g.joined)
		g.players = append(g.players, seated{sidecar.Player{ID: id, Name: x.Name}, x.Addr})
		look = true
	case PeerLeft:
		g.players = slices.DeleteFunc(g.players, func(p seated) bool { return p.addr == x.Addr })
		look = true
	case RaceLoading:
		g.match, look = sidecar.MatchStarting, true
	case RaceStarted:
		g.match, look = sidecar.Racing, true
	case RaceFinished:
		g.races++
		g.emit(sidecar.RacesEnded{Total: g.races})
	case LobbyReset:
		g.match, look = sidecar.Lobby, true
	case Fatal:
		g.o.Logger.Error("the game gave up", "reason", x.Text)
	}
	g.emit(sidecar.Alive{By: sidecar.Log})
	return look
}

// port compares the port that the server took with its own.
func (g *Game) port(what any) {
	switch x := what.(type) {
	case PortTaken:
		g.o.Logger.Warn("the game's port is taken by somebody else", "port", x.Port)
	case ServerPort:
		if g.wrong = 0; x.Port != g.o.Port {
			g.wrong = x.Port
			g.emit(sidecar.Faulty{Reason: fmt.Sprintf("the game listens on port %d instead of %d", x.Port, g.o.Port)})
		}
	}
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
	if s.Bound && s.Queued < g.queued {
		g.emit(sidecar.Alive{By: sidecar.Socket}) // it took something out
	}
	g.bound, g.queued = s.Bound, s.Queued
}

func (g *Game) ask(ctx context.Context) {
	if g.noQuery || g.wrong != 0 {
		return // whoever answers is another server
	}
	start := time.Now()
	info, err := Ask(ctx, g.o.Query)
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

// tell says what follows of all that is known.
func (g *Game) tell() {
	answers := !g.answered.IsZero() && time.Since(g.answered) < silence
	serving := g.bound && g.wrong == 0 && (answers || g.noQuery && g.listening)
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
