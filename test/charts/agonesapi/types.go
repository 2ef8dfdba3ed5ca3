// Package agonesapi has the types of Agones' API that charts use, of Agones 1.57, so that a manifest can be decoded strictly:
// Agones' own module is not to be had from the module proxy. A field that is not here is one that the charts do not need.
package agonesapi

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// AddToScheme registers the types.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(schema.GroupVersion{Group: "agones.dev", Version: "v1"}, &Fleet{})
	s.AddKnownTypes(schema.GroupVersion{Group: "autoscaling.agones.dev", Version: "v1"}, &FleetAutoscaler{})
	s.AddKnownTypes(schema.GroupVersion{Group: "allocation.agones.dev", Version: "v1"}, &GameServerAllocation{})
	return nil
}

// Fleet is a set of game servers.
type Fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`
	Spec              FleetSpec `json:"spec"`
}

// FleetSpec is what is wanted of it.
type FleetSpec struct {
	Replicas           *int32              `json:"replicas,omitempty"`
	Scheduling         string              `json:"scheduling,omitempty"`
	Strategy           Strategy            `json:"strategy"`
	Priorities         []Priority          `json:"priorities,omitempty"`
	AllocationOverflow *AllocationOverflow `json:"allocationOverflow,omitempty"`
	Template           GameServerTemplate  `json:"template"`
}

// Strategy is how versions are exchanged.
type Strategy struct {
	Type          string         `json:"type,omitempty"`
	RollingUpdate *RollingUpdate `json:"rollingUpdate,omitempty"`
}

// RollingUpdate is how many servers are exchanged at a time.
type RollingUpdate struct {
	MaxSurge       *intstr.IntOrString `json:"maxSurge,omitempty"`
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// Priority is which servers go first.
type Priority struct {
	Type  string `json:"type,omitempty"`
	Key   string `json:"key,omitempty"`
	Order string `json:"order,omitempty"`
}

// AllocationOverflow is what allocated servers get that are too many.
type AllocationOverflow struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// GameServerTemplate is what servers are made of.
type GameServerTemplate struct {
	metav1.ObjectMeta `json:"metadata,omitzero"`
	Spec              GameServerSpec `json:"spec"`
}

// GameServerSpec is a server's part of it.
type GameServerSpec struct {
	Container string                 `json:"container,omitempty"`
	Ports     []Port                 `json:"ports,omitempty"`
	Health    Health                 `json:"health,omitzero"`
	Eviction  *Eviction              `json:"eviction,omitempty"`
	Counters  map[string]Counter     `json:"counters,omitempty"`
	Lists     map[string]List        `json:"lists,omitempty"`
	Template  corev1.PodTemplateSpec `json:"template"`
}

// Port is one that players reach.
type Port struct {
	Name          string `json:"name,omitempty"`
	PortPolicy    string `json:"portPolicy,omitempty"`
	Container     string `json:"container,omitempty"`
	ContainerPort int32  `json:"containerPort,omitempty"`
	HostPort      int32  `json:"hostPort,omitempty"`
	Protocol      string `json:"protocol,omitempty"`
}

// Health is when a server is given up.
type Health struct {
	Disabled            bool  `json:"disabled,omitempty"`
	PeriodSeconds       int32 `json:"periodSeconds,omitempty"`
	FailureThreshold    int32 `json:"failureThreshold,omitempty"`
	InitialDelaySeconds int32 `json:"initialDelaySeconds,omitempty"`
}

// Eviction is who may end a server.
type Eviction struct {
	Safe string `json:"safe,omitempty"`
}

// Counter is a number with a limit.
type Counter struct {
	Count    int64 `json:"count"`
	Capacity int64 `json:"capacity"`
}

// List is values with a limit.
type List struct {
	Capacity int64    `json:"capacity"`
	Values   []string `json:"values,omitempty"`
}

// FleetAutoscaler says how many servers there shall be.
type FleetAutoscaler struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`
	Spec              FleetAutoscalerSpec `json:"spec"`
}

// FleetAutoscalerSpec is how it decides.
type FleetAutoscalerSpec struct {
	FleetName string `json:"fleetName"`
	Policy    Policy `json:"policy"`
	Sync      *Sync  `json:"sync,omitempty"`
}

// Policy is one of them.
type Policy struct {
	Type   string        `json:"type"`
	Buffer *BufferPolicy `json:"buffer,omitempty"`
	List   *ListPolicy   `json:"list,omitempty"`
}

// BufferPolicy counts servers.
type BufferPolicy struct {
	MaxReplicas int32              `json:"maxReplicas"`
	MinReplicas int32              `json:"minReplicas"`
	BufferSize  intstr.IntOrString `json:"bufferSize"`
}

// ListPolicy counts free places of a list.
type ListPolicy struct {
	Key         string             `json:"key"`
	MaxCapacity int64              `json:"maxCapacity"`
	MinCapacity int64              `json:"minCapacity"`
	BufferSize  intstr.IntOrString `json:"bufferSize"`
}

// Sync is how often it decides.
type Sync struct {
	Type          string        `json:"type"`
	FixedInterval FixedInterval `json:"fixedInterval"`
}

// FixedInterval is a time.
type FixedInterval struct {
	Seconds int32 `json:"seconds"`
}

// GameServerAllocation asks for a server.
type GameServerAllocation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`
	Spec              GameServerAllocationSpec `json:"spec"`
}

// GameServerAllocationSpec is what it shall be like.
type GameServerAllocationSpec struct {
	Selectors  []Selector            `json:"selectors,omitempty"`
	Scheduling string                `json:"scheduling,omitempty"`
	Lists      map[string]ListAction `json:"lists,omitempty"`
}

// Selector chooses servers.
type Selector struct {
	metav1.LabelSelector `json:",inline"`
	GameServerState      string                  `json:"gameServerState,omitempty"`
	Lists                map[string]ListSelector `json:"lists,omitempty"`
}

// ListSelector chooses servers by a list.
type ListSelector struct {
	MinAvailable int64 `json:"minAvailable,omitempty"`
	MaxAvailable int64 `json:"maxAvailable,omitempty"`
}

// ListAction changes a list.
type ListAction struct {
	AddValues []string `json:"addValues,omitempty"`
	Capacity  *int64   `json:"capacity,omitempty"`
}

// DeepCopyObject is only there for the scheme: these objects are read once.
func (f *Fleet) DeepCopyObject() runtime.Object { c := *f; return &c }

// DeepCopyObject is only there for the scheme.
func (f *FleetAutoscaler) DeepCopyObject() runtime.Object { c := *f; return &c }

// DeepCopyObject is only there for the scheme.
func (a *GameServerAllocation) DeepCopyObject() runtime.Object { c := *a; return &c }
