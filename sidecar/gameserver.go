package sidecar

import (
	"maps"
	"slices"
	"time"
)

// AgonesState is what Agones says of a GameServer's life.
type AgonesState string

// The states of Agones 1.57 to 1.61.
const (
	PortAllocation AgonesState = "PortAllocation"
	Creating       AgonesState = "Creating"
	Starting       AgonesState = "Starting"
	Scheduled      AgonesState = "Scheduled"
	RequestReady   AgonesState = "RequestReady"
	Ready          AgonesState = "Ready"
	Reserved       AgonesState = "Reserved"
	Allocated      AgonesState = "Allocated"
	Unhealthy      AgonesState = "Unhealthy"
	Error          AgonesState = "Error"
	Shutdown       AgonesState = "Shutdown"
)

// Terminal says that the SDK can no longer leave the state.
func (s AgonesState) Terminal() bool { return s == Unhealthy || s == Error || s == Shutdown }

// Young says that the GameServer was not yet in the pool: nobody can have allocated it.
func (s AgonesState) Young() bool {
	return slices.Contains([]AgonesState{PortAllocation, Creating, Starting, Scheduled}, s)
}

// Keys that Agones and allocations use on a GameServer.
const (
	// SDKPrefix is put before the keys of labels and annotations that are set through the SDK.
	SDKPrefix = "agones.dev/sdk-"
	// LastAllocated is the annotation that every allocation changes.
	LastAllocated = "agones.dev/last-allocated"
)

// GameServer is this pod's GameServer as Agones last told it. It is not changed after it was handed out.
type GameServer struct {
	Name, Namespace, UID string
	State                AgonesState
	// Deleting says that the GameServer has a deletion timestamp: nothing that the SDK is told counts any more.
	Deleting            bool
	Labels, Annotations map[string]string
	Counters            map[string]Counter
	Lists               map[string]List
	Health              HealthSettings
	Address             string
	Ports               []Port
}

// Over says that nothing that the SDK is told changes the GameServer any more.
func (g GameServer) Over() bool { return g.Deleting || g.State.Terminal() }

// LastAllocated is the time stamp of the latest allocation as Agones wrote it, empty if there was none.
func (g GameServer) LastAllocated() string { return g.Annotations[LastAllocated] }

// Equal compares all fields.
func (g GameServer) Equal(o GameServer) bool {
	return g.Name == o.Name && g.Namespace == o.Namespace && g.UID == o.UID && g.State == o.State && g.Deleting == o.Deleting &&
		maps.Equal(g.Labels, o.Labels) && maps.Equal(g.Annotations, o.Annotations) && maps.Equal(g.Counters, o.Counters) &&
		maps.EqualFunc(g.Lists, o.Lists, List.Equal) && g.Health == o.Health && g.Address == o.Address && slices.Equal(g.Ports, o.Ports)
}

// Counter is a number that a Fleet declares and the SDK counts.
type Counter struct{ Count, Capacity int64 }

// List is a list of unique values that a Fleet declares and the SDK fills.
type List struct {
	Capacity int64
	Values   []string
}

// Equal compares capacity, values and their order.
func (l List) Equal(o List) bool { return l.Capacity == o.Capacity && slices.Equal(l.Values, o.Values) }

// Port is where players reach the game: the public port, not the container's.
type Port struct {
	Name string
	Port int32
}

// HealthSettings are those of the GameServer's spec.
type HealthSettings struct {
	Disabled bool
	// Period is how often Agones wants a ping, FailureThreshold how many it does without.
	Period           time.Duration
	FailureThreshold int32
	InitialDelay     time.Duration
}
