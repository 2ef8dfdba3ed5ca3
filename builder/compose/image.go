package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Layer is a layer that exists: what a manifest says of it, and the digest of its uncompressed bytes.
type Layer struct {
	// Descriptor carries the layer's contract annotations.
	Descriptor v1.Descriptor
	DiffID     v1.Hash
}

// Delta reports whether the layer lies on top of the image.
func (l Layer) Delta() bool {
	return l.Descriptor.Annotations[builder.AnnotationLayerKind] == builder.KindDelta
}

// Part is what one phase contributes to an image for one platform.
type Part struct {
	Phase  builder.Phase
	Layers []Layer
	// Config holds only what the phase itself sets (or inherits from an image it is made from).
	Config v1.Config
	// InputDigest is the digest of everything the part was made from.
	InputDigest v1.Hash
}

// Options are what all images of one index share.
type Options struct {
	// Created goes into configs, history and annotations; use a fixed time for reproducible images.
	Created time.Time
	// Annotations are added to manifests and index; they may not use the contract's prefix.
	Annotations map[string]string
}

// Image is one platform's image: the bytes that go to a registry, and what they list.
type Image struct {
	Platform           v1.Platform
	Config             []byte
	ConfigDescriptor   v1.Descriptor
	Manifest           []byte
	ManifestDescriptor v1.Descriptor
	Layers             []Layer
}

// Index is a multi-platform image.
type Index struct {
	Raw        []byte
	Descriptor v1.Descriptor
	Images     []Image
}

// Platform is one platform's parts, in any order.
type Platform struct {
	Platform v1.Platform
	Parts    []Part
}

// Build composes the index. Platforms keep their order; parts are put into phase order. It fails with a Policy
// error above [MaxLayers] and with an Input error if the platforms do not share their asset layers.
func Build(platforms []Platform, o Options) (Index, error) {
	var idx Index
	for _, p := range platforms {
		img, err := buildImage(p, o)
		if err != nil {
			return Index{}, fmt.Errorf("compose %s: %w", p.Platform, err)
		}
		idx.Images = append(idx.Images, img)
	}
	if err := sameAssets(platforms); err != nil {
		return Index{}, err
	}
	manifest := v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Annotations:   o.annotations(indexInputs(platforms)),
	}
	for _, img := range idx.Images {
		manifest.Manifests = append(manifest.Manifests, img.ManifestDescriptor)
	}
	var err error
	if idx.Raw, idx.Descriptor, err = encode(manifest, types.OCIImageIndex); err != nil {
		return Index{}, err
	}
	return idx, nil
}

func buildImage(p Platform, o Options) (Image, error) {
	parts := inPhaseOrder(p.Parts)
	img := Image{Platform: p.Platform}
	ordered := inLayerOrder(parts)
	for _, part := range ordered {
		img.Layers = append(img.Layers, part.Layers...)
	}
	if len(img.Layers) > MaxLayers {
		return Image{}, builder.Errorf(builder.Policy, "lower split.layers of a phase",
			"%d layers, at most %d work on every engine", len(img.Layers), MaxLayers)
	}
	var err error
	if img.Config, img.ConfigDescriptor, err = encode(configFile(p.Platform, parts, ordered, o.Created), types.OCIConfigJSON); err != nil {
		return Image{}, err
	}
	manifest := v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Config:        img.ConfigDescriptor,
		Layers:        []v1.Descriptor{},
		Annotations:   o.annotations(partInputs(parts)),
	}
	if len(parts) == 1 {
		manifest.Annotations[builder.AnnotationPhase] = string(parts[0].Phase)
	}
	for _, l := range img.Layers {
		manifest.Layers = append(manifest.Layers, l.Descriptor)
	}
	if img.Manifest, img.ManifestDescriptor, err = encode(manifest, types.OCIManifestSchema1); err != nil {
		return Image{}, err
	}
	img.ManifestDescriptor.Platform = &p.Platform
	return img, nil
}

func (o Options) annotations(inputs map[string]string) map[string]string {
	ann := maps.Clone(o.Annotations)
	if ann == nil {
		ann = map[string]string{}
	}
	maps.Copy(ann, inputs)
	ann[builder.AnnotationContract] = builder.ContractVersion
	ann["org.opencontainers.image.created"] = o.Created.UTC().Format(time.RFC3339)
	return ann
}

// encode is the one place where JSON becomes bytes with a digest; map keys are sorted by encoding/json.
func encode(v any, mediaType types.MediaType) ([]byte, v1.Descriptor, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return nil, v1.Descriptor{}, err
	}
	return raw, v1.Descriptor{MediaType: mediaType, Digest: digest, Size: size}, nil
}
