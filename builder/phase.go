package builder

import "slices"

// Phase names one of the four parts of a server image.
type Phase string

// The phases, in layer order from the bottom.
const (
	Assets Phase = "assets"
	Base   Phase = "base"
	Code   Phase = "code"
	Server Phase = "server"
)

// Phases lists all phases, bottom layer first.
func Phases() []Phase { return []Phase{Assets, Base, Code, Server} }

// Valid reports whether p is one of [Phases].
func (p Phase) Valid() bool { return slices.Contains(Phases(), p) }
