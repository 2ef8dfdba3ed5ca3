package agones

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of every type here.
var GroupVersion = schema.GroupVersion{Group: "agones.dev", Version: "v1"}

// FleetLabel is on GameServerSets and GameServers: the name of their Fleet.
const FleetLabel = "agones.dev/fleet"

// Kinds are those that a warmer watches.
var Kinds = []string{"Fleet", "GameServerSet", "GameServer"}

// AddToScheme registers the types.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Fleet{}, &FleetList{}, &GameServerSet{}, &GameServerSetList{}, &GameServer{}, &GameServerList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// Fleet is a set of game servers of the same version, or of two while it changes.
//
// +kubebuilder:object:root=true
type Fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              FleetSpec `json:"spec,omitempty"`
}

// FleetList is a list of them.
//
// +kubebuilder:object:root=true
type FleetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Fleet `json:"items"`
}

// FleetSpec is what is wanted.
type FleetSpec struct {
	Replicas int32              `json:"replicas"`
	Template GameServerTemplate `json:"template"`
}

// GameServerTemplate is what game servers are made of.
type GameServerTemplate struct {
	Spec GameServerSpec `json:"spec"`
}

// GameServerSpec is a game server's part of it.
type GameServerSpec struct {
	Template corev1.PodTemplateSpec `json:"template"`
}

// GameServerSet is one version of a Fleet.
//
// +kubebuilder:object:root=true
type GameServerSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              GameServerSetSpec   `json:"spec,omitempty"`
	Status            GameServerSetStatus `json:"status,omitempty"`
}

// GameServerSetList is a list of them.
//
// +kubebuilder:object:root=true
type GameServerSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GameServerSet `json:"items"`
}

// GameServerSetSpec is what is wanted.
type GameServerSetSpec struct {
	Replicas int32              `json:"replicas"`
	Template GameServerTemplate `json:"template"`
}

// GameServerSetStatus is what there is.
type GameServerSetStatus struct {
	Replicas          int32 `json:"replicas"`
	ReadyReplicas     int32 `json:"readyReplicas"`
	ReservedReplicas  int32 `json:"reservedReplicas"`
	AllocatedReplicas int32 `json:"allocatedReplicas"`
}

// Spared are servers that a rollout does not end: players are on them, or will be.
func (s GameServerSetStatus) Spared() int32 { return s.AllocatedReplicas + s.ReservedReplicas }

// GameServer is one server.
//
// +kubebuilder:object:root=true
type GameServer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Status            GameServerStatus `json:"status,omitempty"`
}

// GameServerList is a list of them.
//
// +kubebuilder:object:root=true
type GameServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GameServer `json:"items"`
}

// GameServerStatus is how a server is.
type GameServerStatus struct {
	State    string                `json:"state,omitempty"`
	NodeName string                `json:"nodeName,omitempty"`
	Lists    map[string]ListStatus `json:"lists,omitempty"`
}

// ListStatus is one of a server's lists.
type ListStatus struct {
	Values []string `json:"values,omitempty"`
}

// Allocated is the state of a server that players were sent to.
const Allocated = "Allocated"

// PlayersList is the list in which servers keep who is there.
const PlayersList = "players"
