package sidecar

import "time"

// Transition asks Agones for another state of the GameServer. It is asked for until the watch shows it, and given up when
// the GameServer is in none of the states From (somebody else was faster) or over.
type Transition struct {
	To AgonesState
	// From are the states that it may leave; none means every one that is not terminal.
	From []AgonesState
	// LastAllocated, with From Allocated, is the allocation whose session ended: after a newer one the transition would take
	// the server from players who are on their way.
	LastAllocated string
	// For is how long a reservation lasts, with To Reserved; 0 means for ever.
	For time.Duration
}

// Metadata is what the GameServer should say of the game. It is asserted until the GameServer shows it, and again when an
// SDK server lost it. Keys of labels and annotations have no prefix: Agones adds [SDKPrefix].
type Metadata struct {
	Labels, Annotations map[string]string
	// Counters are counts, not differences.
	Counters map[string]int64
	Lists    map[string]ListGoal
}

// ListGoal says which values a list should have and which not. Values in neither are somebody else's, and stay.
type ListGoal struct{ Present, Absent []string }
