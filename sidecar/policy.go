package sidecar

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Claim is who says that a server in the pool is taken.
type Claim string

// A server is claimed by a matchmaker's allocation or, where that was asked for, by its first player.
const (
	ByMatchmaker Claim = "matchmaker"
	ByPlayer     Claim = "self"
)

// End is what becomes of a server whose session is over.
type End string

// A session's end.
const (
	ShutDown   End = "shutdown"
	BackToPool End = "ready"
)

// Policy is what operators decide. Durations of 0 mean without limit, except where something else is said.
type Policy struct {
	Allocation Claim
	// WhenEmpty is what becomes of the server when its players have been gone for EmptyGrace, WhenUnjoined when after an
	// allocation nobody came for JoinTimeout.
	WhenEmpty, WhenUnjoined End
	EmptyGrace, JoinTimeout time.Duration
	// ReservationTTL is how long a value that an allocation put into the list waits for its player.
	ReservationTTL time.Duration
	// LivenessWindow is how long a sign of life lasts. 0 takes it from the GameServer: two thirds of the time after which
	// Agones gives the server up, less half a period.
	LivenessWindow time.Duration
	// StartTimeout is how long the game may take to serve; pings are sent meanwhile, and end with it.
	StartTimeout time.Duration
	// NeverReady, MaxSession and MaxAge end a server that is not ready in time, a session, and a server between sessions.
	NeverReady, MaxSession, MaxAge time.Duration
	// DrainTimeout is how long a drain waits for players, never without limit. LobbyGrace is how long it waits for those who
	// are in the lobby, and would only start another match.
	DrainTimeout, LobbyGrace time.Duration
	// OverflowKey is the label or annotation that a Fleet's allocationOverflow puts on servers that should end.
	OverflowKey string
	// ExposeNames puts players' names into the list instead of their IDs.
	ExposeNames bool
	// List and Counter are the names that the Fleet declares.
	List, Counter string
}

// DefaultPolicy is what the command line starts from.
func DefaultPolicy() Policy {
	return Policy{
		Allocation: ByMatchmaker, WhenEmpty: ShutDown, WhenUnjoined: ShutDown,
		EmptyGrace: 30 * time.Second, JoinTimeout: 2 * time.Minute, ReservationTTL: time.Minute,
		StartTimeout: 2 * time.Minute, DrainTimeout: 10 * time.Minute, LobbyGrace: 15 * time.Second, OverflowKey: "pitcrew.dev/overflow",
		List: "players", Counter: "races",
	}
}

// Validate reports all faults together, always in the same order.
func (p Policy) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(p.Allocation != ByMatchmaker && p.Allocation != ByPlayer, "allocation %q: use matchmaker or self", p.Allocation)
	fault(p.WhenEmpty != ShutDown && p.WhenEmpty != BackToPool, "when-empty %q: use shutdown or ready", p.WhenEmpty)
	fault(p.WhenUnjoined != ShutDown && p.WhenUnjoined != BackToPool, "when-unjoined %q: use shutdown or ready", p.WhenUnjoined)
	fault(p.DrainTimeout <= 0, "drain-timeout %s: a drain has to end", p.DrainTimeout)
	fault(p.StartTimeout <= 0, "start-timeout %s: a server that never serves has to be given up", p.StartTimeout)
	durations := map[string]time.Duration{
		"empty-grace": p.EmptyGrace, "join-timeout": p.JoinTimeout, "reservation-ttl": p.ReservationTTL, "liveness-window": p.LivenessWindow,
		"never-ready": p.NeverReady, "lobby-grace": p.LobbyGrace, "max-session": p.MaxSession, "max-age": p.MaxAge,
	}
	for _, name := range slices.Sorted(maps.Keys(durations)) {
		fault(durations[name] < 0, "%s %s: a duration is not negative", name, durations[name])
	}
	return errors.Join(faults...)
}

// window is how long a sign of life lasts for a GameServer.
func (p Policy) window(g *GameServer) time.Duration {
	if p.LivenessWindow > 0 {
		return p.LivenessWindow
	}
	period, threshold := 5*time.Second, int64(3)
	if g != nil && g.Health.Period > 0 {
		period, threshold = g.Health.Period, int64(max(g.Health.FailureThreshold, 1))
	}
	until := time.Duration(int64(period) * threshold) // Agones gives the server up
	return max(period, until*2/3-period/2)
}

// pingEvery is how often Agones is told: twice in each of its periods, so that one may be late.
func (p Policy) pingEvery(g *GameServer) time.Duration {
	if g != nil && g.Health.Period > 0 {
		return g.Health.Period / 2
	}
	return 2 * time.Second
}
