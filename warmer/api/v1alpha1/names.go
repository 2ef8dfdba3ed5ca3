package v1alpha1

// Names that people and other programs write or read on objects.
const (
	// NextImageAnnotation on a Fleet announces images of its next version, separated by commas: they become warm before
	// the Fleet is changed.
	NextImageAnnotation = "pitcrew.dev/next-image"
	// WarmAnnotation on a Fleet with the value "false" keeps the controller from making a WarmSet of it.
	WarmAnnotation = "pitcrew.dev/warm"
	// FleetNamespaceLabel and FleetNameLabel are on WarmSets that the controller made. It deletes them with the Fleet.
	FleetNamespaceLabel = "pitcrew.dev/fleet-namespace"
	FleetNameLabel      = "pitcrew.dev/fleet"
	// WarmLabelPrefix and a WarmSet's name are a label of the nodes where all of it is warm.
	WarmLabelPrefix = "pitcrew.dev/warm-"
	// ColdTaint is what new nodes may carry until everything that applies to them is warm. It is never put back.
	ColdTaint = "pitcrew.dev/cold"
)

// Types of a WarmSet's conditions.
const (
	// Warm is true when every image is warm on every node that the set applies to.
	Warm = "Warm"
	// Progressing is true while images are being made warm.
	Progressing = "Progressing"
	// Degraded is true when something keeps images from becoming warm.
	Degraded = "Degraded"
	// Limited is true when the lower limit of another set holds on some of the nodes. Sets that had their own limit all the
	// time do not have it.
	Limited = "Limited"
)

// Reasons of conditions and events.
const (
	ReasonAllWarm      = "AllWarm"
	ReasonPulling      = "Pulling"
	ReasonNoNodes      = "NoMatchingNodes"
	ReasonNoImages     = "NoImages"
	ReasonIdle         = "Idle"
	ReasonHealthy      = "AsExpected"
	ReasonImageFailed  = "ImageFailed"
	ReasonInvalidImage = "InvalidImage"
	ReasonNodeWarm     = "NodeWarm"
	ReasonDerived      = "WarmSetDerived"
	ReasonNameTaken    = "WarmSetNameTaken"
	ReasonLowerLimit   = "LowerLimit"
)
