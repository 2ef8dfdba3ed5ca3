package sidecar

import (
	"slices"
	"time"
)

// Phase is where a game server stands between its start and its end.
type Phase string

// The phases, in the order of a life without surprises.
const (
	// Booting: the game does not serve yet, and Agones is not told that it is ready.
	Booting Phase = "booting"
	// Waiting: in the pool, nobody has claimed it.
	Waiting Phase = "waiting"
	// Expecting: allocated, and nobody has come yet.
	Expecting Phase = "expecting"
	// Playing: allocated, with players.
	Playing Phase = "playing"
	// Emptied: allocated, and all players have left.
	Emptied Phase = "emptied"
	// Draining: it is to end; what is being played is played to its end.
	Draining Phase = "draining"
	// Leaving: Agones is asked to shut it down. Nothing leads back from here.
	Leaving Phase = "leaving"
	// Over: the game has exited or the GameServer is over. Nothing is done any more.
	Over Phase = "over"
)

// Signal is one of the independent ways in which a game shows that it lives.
type Signal string

// The signals that games may give.
const (
	// Answer: it answered a query.
	Answer Signal = "answer"
	// Socket: it took what waited in the receive queue of its socket.
	Socket Signal = "socket"
	// Log: it wrote a line of its log.
	Log Signal = "log"
)

// Match is what the players are at.
type Match string

// A match is prepared in the lobby; from MatchStarting on it should not be interrupted. Empty means that the game does not say.
const (
	Lobby         Match = "lobby"
	MatchStarting Match = "starting"
	Racing        Match = "racing"
)

// Player is one that the game has validated: a peer that only connected is none.
type Player struct {
	// ID is stable as long as the player is there, and says nothing about who it is.
	ID string
	// Name is what the player calls itself: hostile, and shown only where that was asked for.
	Name string
}

// State is everything that a decision is based on. The zero State is that of a sidecar that has just started. A State is
// a value: [Step] returns another one and leaves its argument as it was.
type State struct {
	Phase Phase
	// Since is when the phase began.
	Since time.Time
	// Started is when the first event came.
	Started time.Time

	// Agones is what the GameServer is like; nil until it was seen.
	Agones *GameServer

	// Serving says that the game serves on the port that it was told to, Served that it did so once.
	Serving, Served bool
	// Fault is why it never will, if that is known: it took another port, for instance.
	Fault string
	// Exited says that the game's process has ended.
	Exited bool
	// Withheld is why Agones was not told that the game is well when it was last due; empty if it was told.
	Withheld string
	// Signs are the latest times of each signal.
	Signs map[Signal]time.Time

	// Players are those whom the game knows by name, Count how many it says there are: it may know more than it names.
	// Known says that it has told at all.
	Players []Player
	Count   int
	Known   bool
	// Disagree is since when the two differ; zero while they agree.
	Disagree time.Time

	Match       Match
	Track, Mode string
	// MatchSince is when Match became what it is.
	MatchSince time.Time
	// Races counts those that came to their end.
	Races int64

	// Session is the allocation that is being served, or was last: the time stamp that Agones gave it. Ended says that
	// it is over, so that a GameServer that still shows it is on its way back to the pool.
	// SessionSince is when we learned of it.
	Session      string
	SessionSince time.Time
	Ended        bool
	// Reservations are the values that allocations put into the list, with the time at which they lapse.
	Reservations map[string]time.Time
	// Drain is why the server has to end, empty while it has not. DrainBy is when that no longer waits for players.
	Drain   string
	DrainBy time.Time

	wanted *Transition // what Agones was last asked for
	said   Metadata    // what the GameServer was last made to say
	pinged time.Time   // when a ping was last sent or withheld
}

// PlayersThere is how many players there are, by the better knowledge: what the game says, or else those it named.
func (s State) PlayersThere() int {
	if s.Count >= 0 {
		return s.Count
	}
	return len(s.Players)
}

// LastSign is the latest sign of life, and which signal gave it; zero if there was none.
func (s State) LastSign() (at time.Time, by Signal) {
	for _, signal := range []Signal{Answer, Socket, Log} {
		if t := s.Signs[signal]; t.After(at) {
			at, by = t, signal
		}
	}
	return at, by
}

// Terminal says that nothing is done any more.
func (s State) Terminal() bool { return s.Phase == Over }

func (s State) ids() []string {
	var ids []string
	for _, p := range s.Players {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
