package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WarmSet says which images shall be warm, and on which nodes: present, unpacked and pinned before a pod needs them.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=ws,categories=pitcrew
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.nodes.desired`,description="nodes that the set applies to"
// +kubebuilder:printcolumn:name="Warm",type=integer,JSONPath=`.status.nodes.warm`,description="nodes where all images are warm"
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.nodes.failed`,description="nodes where an image failed"
// +kubebuilder:printcolumn:name="Remaining",type=integer,JSONPath=`.status.bytesRemaining`,description="bytes to fetch, over all nodes"
// +kubebuilder:printcolumn:name="ETA",type=string,JSONPath=`.status.eta`,description="how long fetching will still take"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Warm")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Warm")].reason`,priority=1
// +kubebuilder:printcolumn:name="Fleet",type=string,JSONPath=`.spec.fleet.name`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type WarmSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec WarmSetSpec `json:"spec"`
	// +optional
	Status WarmSetStatus `json:"status,omitempty"`
}

// WarmSetList is a list of them.
//
// +kubebuilder:object:root=true
type WarmSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WarmSet `json:"items"`
}

// WarmSetSpec is what is wanted.
//
// +kubebuilder:validation:XValidation:rule="has(self.fleet) || (has(self.images) && size(self.images) > 0)",message="name what shall be warm: images, or a fleet whose images these are"
// +kubebuilder:validation:XValidation:rule="has(self.fleet) == has(oldSelf.fleet)",message="fleet cannot be added or taken away: make another WarmSet"
type WarmSetSpec struct {
	// images shall be warm. The controller writes them where fleet is set.
	//
	// +optional
	// +listType=map
	// +listMapKey=ref
	// +kubebuilder:validation:MaxItems=128
	Images []WantedImage `json:"images,omitempty"`

	// fleet is an Agones Fleet whose images these are: the one it has, the next one announced, and those of older
	// GameServerSets that still run. Images and the choice of nodes follow the Fleet.
	//
	// +optional
	Fleet *FleetReference `json:"fleet,omitempty"`

	// layers is which of the images' layers are wanted: All, or the Assets at the bottom.
	//
	// +optional
	// +kubebuilder:default=All
	Layers Layers `json:"layers,omitempty"`

	// nodeSelector is what nodes' labels have to be.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// nodeAffinity is a pod's requiredDuringSchedulingIgnoredDuringExecution.
	//
	// +optional
	NodeAffinity *corev1.NodeSelector `json:"nodeAffinity,omitempty"`

	// tolerations are a pod's. Taints that pass by themselves (node.kubernetes.io/*, pitcrew.dev/cold) need none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// priority orders the work of a node: images with a higher one are fetched first. An image that several sets want has
	// the highest of theirs.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1000000
	// +kubebuilder:validation:Maximum=1000000
	Priority int32 `json:"priority,omitempty"`

	// pin keeps kubelet's garbage collection from the images. If sets differ about an image, it is pinned.
	//
	// +optional
	// +kubebuilder:default=true
	Pin *bool `json:"pin,omitempty"`

	// limits bound what warming takes from a node. If sets that apply to a node differ, the lower limit counts.
	//
	// +optional
	Limits *Limits `json:"limits,omitempty"`

	// retention is what becomes of images that are not wanted any more.
	//
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// pullSecrets are secrets of type kubernetes.io/dockerconfigjson that agents use for these images. A Role has to let
	// them get each of these secrets. They follow the Fleet's imagePullSecrets where fleet is set.
	//
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	PullSecrets []SecretReference `json:"pullSecrets,omitempty"`
}

// WantedImage is one image.
type WantedImage struct {
	// ref is the image as a pod names it.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9\\\\[][a-zA-Z0-9._:/\\\\[\\\\]-]*(@sha256:[0-9a-f]{64})?$')",message="not an image reference: write HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:DIGEST"
	Ref string `json:"ref"`
}

// FleetReference names a Fleet of Agones.
type FleetReference struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="fleet cannot be changed: make another WarmSet"
	Namespace string `json:"namespace"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="fleet cannot be changed: make another WarmSet"
	Name string `json:"name"`

	// rejected are images of the Fleet that cannot be warmed, because no kubelet could pull them.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=256
	Rejected []string `json:"rejected,omitempty"`
}

// Layers is a choice of layers.
//
// +kubebuilder:validation:Enum=All;Assets
type Layers string

// The choices.
const (
	AllLayers    Layers = "All"
	AssetsLayers Layers = "Assets"
)

// Limits bound what warming takes.
type Limits struct {
	// bandwidth is how much a node fetches at most, in bytes per second, such as 50Mi.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="!(type(self) == string) || quantity(self).isGreaterThan(quantity('0'))",message="bandwidth has to be more than nothing; leave it out for no limit"
	Bandwidth *resource.Quantity `json:"bandwidth,omitempty"`
}

// Retention is what becomes of images that are not wanted any more.
type Retention struct {
	// keepFor is how long they stay on a node, not pinned, unless their room is needed: 1s to 8760h. Without it the agent's
	// --grace counts. If sets differ about an image, the longer time counts.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="keepFor has to be 1s to 8760h"
	KeepFor *metav1.Duration `json:"keepFor,omitempty"`
}

// SecretReference names a Secret.
type SecretReference struct {
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// WarmSetStatus is how far the nodes are.
type WarmSetStatus struct {
	// observedGeneration is that of the spec that this is about.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// nodes are counted that have, or lack, all images.
	//
	// +optional
	Nodes NodeCounts `json:"nodes,omitempty"`
	// bytesRemaining is what is still to be fetched over all nodes, as far as they know.
	//
	// +optional
	BytesRemaining int64 `json:"bytesRemaining"`
	// eta is how long the slowest node will still fetch, at the pace of late, and rounded. It is missing while nobody
	// can tell, and when there is nothing to fetch.
	//
	// +optional
	ETA *metav1.Duration `json:"eta,omitempty"`
	// images are counted one by one.
	//
	// +optional
	// +listType=map
	// +listMapKey=ref
	Images []ImageStatus `json:"images,omitempty"`
	// conditions are Warm, Progressing and Degraded.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// NodeCounts count nodes.
type NodeCounts struct {
	// desired are the nodes that the set applies to, and that can take pods.
	Desired int32 `json:"desired"`
	Warm    int32 `json:"warm"`
	Failed  int32 `json:"failed"`
}

// ImageStatus counts the nodes of one image.
type ImageStatus struct {
	Ref        string `json:"ref"`
	NodeCounts `json:",inline"`
	// +optional
	BytesRemaining int64 `json:"bytesRemaining,omitempty"`
	// message is one node's name and error, if any failed.
	//
	// +optional
	Message string `json:"message,omitempty"`
}
