package sidecar

import "time"

// Event is something that happened, at a time. Events come in the order of their times.
type Event struct {
	At   time.Time
	What Happening
}

// Happening is one of the types below.
type Happening interface{ happening() }

type (
	// Tick is the passing of time; one comes at least every second.
	Tick struct{}
	// Seen is the GameServer as the watch shows it.
	Seen struct{ GameServer GameServer }
	// Alive is a sign of life of the game.
	Alive struct{ By Signal }
	// Serves says that the game serves players on the port that it was told to, or no longer does.
	Serves struct{ Now bool }
	// Faulty says that the game runs and will never serve as it was told to; without a reason, that another one runs now,
	// of which that is not known.
	Faulty struct{ Reason string }
	// Here are the players whom the game knows by name, all of them, and how many it says there are, which decides; Count
	// below 0 means that it does not say.
	Here struct {
		Players []Player
		Count   int
	}
	// Plays is what the players are at.
	Plays struct {
		Match       Match
		Track, Mode string
	}
	// RacesEnded is how many matches came to their end since the game started.
	RacesEnded struct{ Total int64 }
	// Exited says that the game's process ended.
	Exited struct{ Reason string }
	// Drain asks for the end, once what is being played is over. A zero By is the policy's.
	Drain struct {
		Reason string
		By     time.Time
	}
)

func (Tick) happening()       {}
func (Seen) happening()       {}
func (Alive) happening()      {}
func (Serves) happening()     {}
func (Faulty) happening()     {}
func (Here) happening()       {}
func (Plays) happening()      {}
func (RacesEnded) happening() {}
func (Exited) happening()     {}
func (Drain) happening()      {}
