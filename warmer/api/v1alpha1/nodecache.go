package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NodeCache is what one node has. It has the node's name, belongs to it, and goes with it. The node's agent writes the
// status, the controller the spec.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=nc,categories=pitcrew
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Images",type=integer,JSONPath=`.status.wanted`
// +kubebuilder:printcolumn:name="Warm",type=integer,JSONPath=`.status.warm`
// +kubebuilder:printcolumn:name="Remaining",type=integer,JSONPath=`.status.bytesRemaining`
// +kubebuilder:printcolumn:name="Players",type=integer,JSONPath=`.spec.players`
// +kubebuilder:printcolumn:name="Bandwidth",type=integer,JSONPath=`.status.bandwidth`,priority=1,description="limit in force, in bytes per second"
// +kubebuilder:printcolumn:name="Platform",type=string,JSONPath=`.status.platform`,priority=1
// +kubebuilder:printcolumn:name="Agent",type=string,JSONPath=`.status.agentVersion`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NodeCache struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec NodeCacheSpec `json:"spec,omitempty"`
	// +optional
	Status NodeCacheStatus `json:"status,omitempty"`
}

// NodeCacheList is a list of them.
//
// +kubebuilder:object:root=true
type NodeCacheList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeCache `json:"items"`
}

// NodeCacheSpec is what the controller tells the agent.
type NodeCacheSpec struct {
	// players are on the node: the agent slows down for them.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Players int32 `json:"players,omitempty"`
}

// NodeCacheStatus is what the agent says.
type NodeCacheStatus struct {
	// observed says that the agent has looked at its node.
	//
	// +optional
	Observed bool `json:"observed,omitempty"`
	// +optional
	AgentVersion string `json:"agentVersion,omitempty"`
	// platform is OS/ARCH.
	//
	// +optional
	Platform string `json:"platform,omitempty"`
	// wanted and warm count images.
	//
	// +optional
	Wanted int32 `json:"wanted,omitempty"`
	// +optional
	Warm int32 `json:"warm,omitempty"`
	// bytesRemaining is what is still to be fetched, as far as the agent knows.
	//
	// +optional
	BytesRemaining int64 `json:"bytesRemaining"`
	// bytesPerSecond is how much came of late, while something remains.
	//
	// +optional
	BytesPerSecond int64 `json:"bytesPerSecond,omitempty"`
	// bandwidth is the limit in force, in bytes per second: the lowest of the WarmSets that apply, of the agent's own, and
	// of that for while players are there. 0 is none.
	//
	// +optional
	Bandwidth int64 `json:"bandwidth,omitempty"`
	// images are those that are wanted here.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Images []CachedImage `json:"images,omitempty"`
}

// CachedImage is how far one image is.
type CachedImage struct {
	// ref is in full, with registry and tag or digest.
	//
	// +kubebuilder:validation:MaxLength=512
	Ref    string     `json:"ref"`
	Layers Layers     `json:"layers"`
	State  ImageState `json:"state"`
	// digest is what ref stood for.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`
	// wantedBytes are those of the layers, presentBytes how many of them are there.
	//
	// +optional
	WantedBytes int64 `json:"wantedBytes,omitempty"`
	// +optional
	PresentBytes int64 `json:"presentBytes,omitempty"`
	// phases have the same for each phase of the build.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Phases []PhaseBytes `json:"phases,omitempty"`
	// error is the last one, if the last try failed.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Error string `json:"error,omitempty"`
}

// PhaseBytes are a phase's part of an image.
type PhaseBytes struct {
	// +kubebuilder:validation:MaxLength=32
	Name         string `json:"name"`
	WantedBytes  int64  `json:"wantedBytes"`
	PresentBytes int64  `json:"presentBytes"`
}

// ImageState is how far an image is.
//
// +kubebuilder:validation:Enum=Resolving;Pulling;Waiting;Failed;Warm
type ImageState string

// The states of an image.
const (
	ImageResolving ImageState = "Resolving"
	ImagePulling   ImageState = "Pulling"
	ImageWaiting   ImageState = "Waiting"
	ImageFailed    ImageState = "Failed"
	ImageWarm      ImageState = "Warm"
)
