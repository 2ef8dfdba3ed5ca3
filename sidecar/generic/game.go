package generic

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
	"github.com/pitcrew-dev/pitcrew/sidecar/tail"
)

// Options say where the server is and how to understand it. Port is needed.
type Options struct {
	// Port is the one that the server was told to serve on.
	Port uint16
	// Protocol is UDP if empty.
	Protocol socket.Protocol
	// Log is the path of the server's log file, which need not be there yet; empty if it has none. It has to be of this run
	// of the server: what an earlier one wrote counts, too. It may be rotated, and a new file is not taken for a new server;
	// but a sidecar that starts again then knows only what the new one says.
	Log      string
	Patterns Patterns
	// ProcNet is /proc/net if empty.
	ProcNet string
	// Every is how often the kernel and the server are asked; a second if 0.
	Every  time.Duration
	Logger *slog.Logger
	// Observed is told of every line and every question, for metrics.
	Observed Observed
}

// Observed are counters; those that are nil are not told.
type Observed struct {
	// Line is told whether a pattern matched a line.
	Line func(understood bool)
	// Asked is told how long the answer took, or why there is none.
	Asked func(took time.Duration, err error)
	// Socket is told what the kernel says.
	Socket func(socket.Socket)
}

// Game is a server that is watched.
type Game struct {
	o Options

	// Owned by the goroutine of loop.
	emit   func(sidecar.Happening)
	kick   chan struct{} // the server is to be asked
	caught bool          // what the log held in the beginning was read
	heard  bool          // a line came since the last look
	full   bool          // it was said that there are too many players
	said   bool          // the log says that players can come
	kernel socket.Socket
	reply  answer // the latest good one

	roster  roster
	counted int // the latest count of the log, or -1
	plays   sidecar.Plays
	races   int64

	faulty  bool
	serving bool
	told    told
}

// told is what was last emitted of players.
type told struct {
	plays sidecar.Plays
	races int64
	here  *sidecar.Here
}

type answer struct {
	Line
	at   time.Time // zero: there was none
	took time.Duration
	err  error
}

// silence is how long an answer counts.
const silence = 5 * time.Second

// New makes one.
func New(o Options) *Game {
	if o.Protocol == "" {
		o.Protocol = socket.UDP
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
	g := &Game{o: o, kick: make(chan struct{}, 1), counted: -1}
	joins := o.Patterns.lines[Join]
	g.roster.byID = !slices.ContainsFunc(slices.Concat(joins, o.Patterns.lines[Leave]), func(re *regexp.Regexp) bool {
		return re.SubexpIndex(groupID) < 0
	})
	return g
}

// Observe tells emit, from one goroutine, what the server does until ctx ends; then it returns nil. It is called once.
func (g *Game) Observe(ctx context.Context, emit func(sidecar.Happening)) error {
	g.emit = emit
	group, ctx := errgroup.WithContext(ctx)
	lines, answers := make(chan Line, 64), make(chan answer)
	if g.caught = g.o.Log == ""; !g.caught {
		read := g.reader(ctx, lines)
		group.Go(func() error {
			return tail.Follow(ctx, g.o.Log, func(l tail.Line) { read(g.understand(l)) }, func() { read(Line{Kind: caughtUp}) })
		})
	}
	if g.o.Patterns.query != nil {
		group.Go(func() error { return g.asker(ctx, answers) })
	}
	group.Go(func() error { g.loop(ctx, lines, answers); return ctx.Err() })
	if err := group.Wait(); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// caughtUp is no line, but where those end that the log held in the beginning: they are history, and none of it is told. A
// sidecar that starts again would else tell that nobody is there, and then who came one by one.
const caughtUp Kind = "caught up"

func (g *Game) reader(ctx context.Context, lines chan<- Line) func(Line) {
	return func(l Line) {
		select {
		case lines <- l:
		case <-ctx.Done():
		}
	}
}

// understand takes a line that was cut for one that no pattern matches: its end is not the one that the game gave it.
func (g *Game) understand(line tail.Line) Line {
	l, ok := Line{}, false
	if !line.Cut {
		l, ok = g.o.Patterns.Match(line.Text)
	}
	if g.o.Observed.Line != nil {
		g.o.Observed.Line(ok)
	}
	return l
}

// asker asks the server when it is told to, in a goroutine of its own: an answer that is awaited holds up no line.
func (g *Game) asker(ctx context.Context, answers chan<- answer) error {
	for {
		select {
		case <-g.kick:
		case <-ctx.Done():
			return ctx.Err()
		}
		start := time.Now()
		l, err := g.o.Patterns.query.ask(ctx, g.o.Port)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		select {
		case answers <- answer{Line: l, at: time.Now(), took: time.Since(start), err: err}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *Game) loop(ctx context.Context, lines <-chan Line, answers <-chan answer) {
	tick := time.NewTicker(g.o.Every)
	defer tick.Stop()
	g.look()
	for ctx.Err() == nil {
		g.tell()
		select {
		case l := <-lines:
			g.line(l)
		case a := <-answers:
			g.answered(a)
		case <-tick.C:
			g.look()
		case <-ctx.Done():
		}
	}
}

// look asks the kernel.
func (g *Game) look() {
	g.heard = false
	s, err := socket.Read(g.o.ProcNet, g.o.Protocol, g.o.Port)
	if err != nil {
		g.o.Logger.Warn("cannot read the kernel's table of sockets", "error", err)
		return
	}
	if g.o.Observed.Socket != nil {
		g.o.Observed.Socket(s)
	}
	if s.Bound && (s.Queued < g.kernel.Queued || s.Queued == 0 && g.asksHere()) {
		g.emit(sidecar.Alive{By: sidecar.Socket})
	}
	g.kernel = s
	if !s.Bound {
		g.reply = answer{} // whoever comes next has to answer, too
		return
	}
	select {
	case g.kick <- struct{}{}:
	default: // the last question still waits for its answer
	}
}

// asksHere says that a question, if there is one, waits in the queue that is looked at.
func (g *Game) asksHere() bool {
	q := g.o.Patterns.query
	return q == nil || g.o.Protocol == socket.UDP && (q.port == 0 || q.port == g.o.Port)
}

// answered takes in an answer, or that there is none.
func (g *Game) answered(a answer) {
	if g.o.Observed.Asked != nil {
		g.o.Observed.Asked(a.took, a.err)
	}
	if a.err != nil || !g.kernel.Bound {
		return
	}
	g.reply = a
	g.setting(a.Line)
	g.emit(sidecar.Alive{By: sidecar.Answer})
}

// tell says what follows of all that is known, as far as it is news.
func (g *Game) tell() {
	if !g.caught {
		return
	}
	if g.faulty && g.open() { // another one runs now
		g.faulty = false
		g.emit(sidecar.Faulty{})
	}
	serving := g.open() && (g.o.Patterns.query == nil || !g.reply.at.IsZero())
	if serving != g.serving {
		g.serving = serving
		g.emit(sidecar.Serves{Now: serving})
	}
	if g.plays != g.told.plays {
		g.told.plays = g.plays
		g.emit(g.plays)
	}
	if g.races != g.told.races {
		g.told.races = g.races
		g.emit(sidecar.RacesEnded{Total: g.races})
	}
	if here := g.here(); here != nil && !same(here, g.told.here) {
		g.told.here = here
		g.emit(*here)
	}
}

// open says that the port is bound and, if there is a pattern for it, that the log says that players can come.
func (g *Game) open() bool { return g.kernel.Bound && (g.said || !g.o.Patterns.Has(Serving)) }

// here is who is there: how many, by the answer, or else by the log. It is nil while nothing tells.
func (g *Game) here() *sidecar.Here {
	h := sidecar.Here{Players: g.roster.players(), Count: g.counted}
	if time.Since(g.reply.at) < silence && g.reply.Count >= 0 {
		h.Count = g.reply.Count
	}
	if h.Count < 0 && (!g.o.Patterns.Has(Join) || !g.serving && g.told.here == nil) {
		return nil
	}
	return &h
}

func same(a, b *sidecar.Here) bool {
	return b != nil && a.Count == b.Count && slices.Equal(a.Players, b.Players)
}
