package generic

import "github.com/pitcrew-dev/pitcrew/sidecar"

// line takes in a line of the log: any is a sign of life, though not more than one between two looks.
func (g *Game) line(l Line) {
	if l.Kind == caughtUp {
		g.caught = true
		return
	}
	if g.caught && !g.heard {
		g.heard = true
		g.emit(sidecar.Alive{By: sidecar.Log})
	}
	g.setting(l)
	switch l.Kind {
	case Fatal:
		g.fatal()
	case Serving:
		g.said = true
		g.look()
		if g.matches() && g.plays.Match == "" {
			g.plays.Match = sidecar.Lobby
		}
	case Stopped:
		g.said = false
		g.stopped()
	case Join:
		if !g.roster.join(l) && !g.full {
			g.full = true
			g.o.Logger.Warn("too many players: no more are counted until some leave", "players", MaxPlayers)
		}
	case Leave:
		g.roster.leave(l)
	case Players:
		g.counted = l.Count
	case MatchStarting:
		g.plays.Match = sidecar.MatchStarting
	case MatchStarted:
		g.plays.Match = sidecar.Racing
	case MatchEnded:
		g.races++
		if g.matches() && !g.o.Patterns.Has(Lobby) {
			g.plays.Match = sidecar.Lobby
		}
	case Lobby:
		g.plays.Match = sidecar.Lobby
	case Track, Mode, caughtUp: // setting took them, and see above
	}
}

// matches says that the log tells when a match begins, and so when there is none.
func (g *Game) matches() bool {
	return g.o.Patterns.Has(MatchStarting) || g.o.Patterns.Has(MatchStarted)
}

// setting takes in what is played, from whatever says so.
func (g *Game) setting(l Line) {
	if l.Track != "" {
		g.plays.Track = l.Track
	}
	if l.Mode != "" {
		g.plays.Mode = l.Mode
	}
}

// stopped forgets whoever was there: nobody can be connected to a server that stopped.
func (g *Game) stopped() {
	g.roster.there = nil
	if g.counted > 0 {
		g.counted = 0
	}
	if g.matches() {
		g.plays.Match = sidecar.Lobby
	}
}

// fatal believes the line only while the game does not serve: as long as it does, the line may be a player's joke, and if it is
// none the game will soon show it. A game that serves later is another one.
func (g *Game) fatal() {
	g.look()
	if g.open() {
		g.o.Logger.Error("the game says that it gave up, and serves")
		return
	}
	g.o.Logger.Error("the game gave up")
	g.faulty = true
	g.emit(sidecar.Faulty{Reason: "the game's log says that it gave up"})
}
