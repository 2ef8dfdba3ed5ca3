package sidecartest

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
)

func itoa(n int) string { return strconv.Itoa(n) }

func message(g sidecar.GameServer) *sdk.GameServer {
	out := &sdk.GameServer{
		ObjectMeta: &sdk.GameServer_ObjectMeta{
			Name: g.Name, Namespace: g.Namespace, Uid: g.UID, ResourceVersion: "0", Generation: 1,
			CreationTimestamp: time.Now().Unix(), Labels: maps.Clone(g.Labels), Annotations: maps.Clone(g.Annotations),
		},
		Spec: &sdk.GameServer_Spec{Health: &sdk.GameServer_Spec_Health{
			Disabled: g.Health.Disabled, PeriodSeconds: int32(g.Health.Period / time.Second),
			FailureThreshold: g.Health.FailureThreshold, InitialDelaySeconds: int32(g.Health.InitialDelay / time.Second),
		}},
		Status: &sdk.GameServer_Status{
			State: string(g.State), Address: g.Address,
			Counters: map[string]*sdk.GameServer_Status_CounterStatus{}, Lists: map[string]*sdk.GameServer_Status_ListStatus{},
		},
	}
	if g.Deleting {
		out.ObjectMeta.DeletionTimestamp = time.Now().Unix()
	}
	for name, n := range g.Counters {
		out.Status.Counters[name] = &sdk.GameServer_Status_CounterStatus{Count: n.Count, Capacity: n.Capacity}
	}
	for name, l := range g.Lists {
		out.Status.Lists[name] = &sdk.GameServer_Status_ListStatus{Capacity: l.Capacity, Values: slices.Clone(l.Values)}
	}
	for _, p := range g.Ports {
		out.Status.Ports = append(out.Status.Ports, &sdk.GameServer_Status_Port{Name: p.Name, Port: p.Port})
	}
	return out
}

// thaw returns a copy that can be changed: cloning leaves out maps that are empty.
func thaw(g *sdk.GameServer) *sdk.GameServer {
	out := proto.CloneOf(g)
	if out.ObjectMeta.Labels == nil {
		out.ObjectMeta.Labels = map[string]string{}
	}
	if out.ObjectMeta.Annotations == nil {
		out.ObjectMeta.Annotations = map[string]string{}
	}
	return out
}

func domain(g *sdk.GameServer) sidecar.GameServer {
	m, st, h := g.GetObjectMeta(), g.GetStatus(), g.GetSpec().GetHealth()
	out := sidecar.GameServer{
		Name: m.GetName(), Namespace: m.GetNamespace(), UID: m.GetUid(), State: sidecar.AgonesState(st.GetState()),
		Deleting: m.GetDeletionTimestamp() > 0, Labels: maps.Clone(m.GetLabels()), Annotations: maps.Clone(m.GetAnnotations()),
		Counters: map[string]sidecar.Counter{}, Lists: map[string]sidecar.List{}, Address: st.GetAddress(),
		Health: sidecar.HealthSettings{
			Disabled: h.GetDisabled(), Period: time.Duration(h.GetPeriodSeconds()) * time.Second,
			FailureThreshold: h.GetFailureThreshold(), InitialDelay: time.Duration(h.GetInitialDelaySeconds()) * time.Second,
		},
	}
	for name, n := range st.GetCounters() {
		out.Counters[name] = sidecar.Counter{Count: n.GetCount(), Capacity: n.GetCapacity()}
	}
	for name, l := range st.GetLists() {
		out.Lists[name] = sidecar.List{Capacity: l.GetCapacity(), Values: slices.Clone(l.GetValues())}
	}
	for _, p := range st.GetPorts() {
		out.Ports = append(out.Ports, sidecar.Port{Name: p.GetName(), Port: p.GetPort()})
	}
	return out
}
