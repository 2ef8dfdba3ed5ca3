package sidecar

// Action is something to do, one of the types below.
type Action interface{ action() }

type (
	// Ping tells Agones that the game is well.
	Ping struct{}
	// Withhold says that a ping was due and is not sent, and why: it is counted, not sent.
	Withhold struct{ Reason string }
	// Move asks Agones for a transition in place of the last one; nil takes that back.
	Move struct{ Transition *Transition }
	// Assert says what the GameServer should say of the game, in place of what it should have said before.
	Assert struct{ Metadata Metadata }
	// Release lets whoever waits for the drain go on: the game may be stopped.
	Release struct{}
	// Enter says that a phase began, for logs and metrics.
	Enter struct {
		From, To Phase
		Reason   string
		// CutOff is how many players were playing.
		CutOff int
	}
)

func (Ping) action()     {}
func (Withhold) action() {}
func (Move) action()     {}
func (Assert) action()   {}
func (Release) action()  {}
func (Enter) action()    {}
