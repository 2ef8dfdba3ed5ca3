package sidecartest

import (
	"maps"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// Allocation is what a GameServerAllocation changes besides the state.
type Allocation struct {
	Labels, Annotations map[string]string
	// AddValues go into lists that have room for them.
	AddValues map[string][]string
}

// Allocate does what a matchmaker's GameServerAllocation does to a server that it found. It returns false, and does
// nothing, unless the GameServer is Ready or, for a match that goes on, Allocated.
func (s *Server) Allocate(a Allocation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := domain(s.object); g.Deleting || g.State != sidecar.Ready && g.State != sidecar.Allocated {
		return false
	}
	s.applyLocked(func(g *sdk.GameServer) {
		g.Status.State = string(sidecar.Allocated)
		stampAllocated(g)
		maps.Copy(g.ObjectMeta.Labels, a.Labels)
		maps.Copy(g.ObjectMeta.Annotations, a.Annotations)
		for name, values := range a.AddValues {
			if l := g.Status.Lists[name]; l != nil {
				l.Values = append(l.Values, values...)
				l.Values = l.Values[:min(int64(len(l.Values)), l.Capacity)]
			}
		}
	})
	return true
}

// Overflow is what a Fleet that shrinks or rolls puts on allocated servers that it wants to see end.
func (s *Server) Overflow(labels, annotations map[string]string) {
	s.apply(func(g *sdk.GameServer) {
		maps.Copy(g.ObjectMeta.Labels, labels)
		maps.Copy(g.ObjectMeta.Annotations, annotations)
	})
}

// SetList replaces what a list holds: values that nobody cleaned up, for instance.
func (s *Server) SetList(name string, values ...string) {
	s.apply(func(g *sdk.GameServer) { g.Status.Lists[name].Values = values })
}

// SetCapacity changes how many values a list may hold, as an allocation can.
func (s *Server) SetCapacity(name string, capacity int64) {
	s.apply(func(g *sdk.GameServer) { g.Status.Lists[name].Capacity = capacity })
}

// Delete gives the GameServer a deletion timestamp, as kubectl delete does.
func (s *Server) Delete() {
	s.apply(func(g *sdk.GameServer) { g.ObjectMeta.DeletionTimestamp = time.Now().Unix() })
}

// Hang makes calls, and pings on streams that are open, wait until their deadline, or lets them go on.
func (s *Server) Hang(on bool) {
	s.fault(func(f *faults) {
		switch {
		case on && f.hung == nil:
			f.hung = make(chan struct{})
		case !on && f.hung != nil:
			close(f.hung)
			f.hung = nil
		}
	})
}

// Fail lets the next n calls fail with the code Unknown.
func (s *Server) Fail(n int) { s.fault(func(f *faults) { f.fail = n }) }

// Swallow answers the next n transitions with success and forgets them.
func (s *Server) Swallow(n int) { s.fault(func(f *faults) { f.swallow = n }) }

func (s *Server) fault(set func(*faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set(&s.faults)
}
