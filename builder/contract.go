package builder

// Annotation keys of the contract between builder, warmer and whoever else reads the images: see
// docs/contract.md. They never change their meaning; new ones may be added.
const (
	// AnnotationPrefix begins all of them; nobody else may use it.
	AnnotationPrefix = "dev.pitcrew."
	// AnnotationPhase is on layer descriptors and on phase images' manifests: the phase's name.
	AnnotationPhase = "dev.pitcrew.phase"
	// AnnotationLayerKey is on layer descriptors: a digest of the layer's entries and codec. Equal keys mean
	// equal layers, so a builder that knows only the key need not make the layer again.
	AnnotationLayerKey = "dev.pitcrew.layer.key"
	// AnnotationLayerKind is on asset layer descriptors: KindBase or KindDelta.
	AnnotationLayerKind = "dev.pitcrew.layer.kind"
	// KindBase is an asset layer at the bottom of the image.
	KindBase = "base"
	// KindDelta is a layer that changes the assets from the top of the image.
	KindDelta = "delta"
	// AnnotationInputPrefix and a phase's name make the manifest annotation that holds the phase's input digest.
	AnnotationInputPrefix = "dev.pitcrew.input."
	// AnnotationContract is on every index and manifest: the contract's version.
	AnnotationContract = "dev.pitcrew.contract"
	// ContractVersion is the value of AnnotationContract that this builder writes.
	ContractVersion = "1"
)
