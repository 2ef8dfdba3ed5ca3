package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
)

// Bounds on what a registry may make us read into memory.
const (
	maxConfig   = 8 << 20
	maxChildren = 1024
)

// Image is an index with its platforms, or a single manifest seen as an index of one.
type Image struct {
	// Descriptor is what the reference pointed at.
	Descriptor  v1.Descriptor
	Annotations map[string]string
	Platforms   []Platform
}

// Platform is one platform's image.
type Platform struct {
	Platform    v1.Platform
	Manifest    v1.Descriptor
	Config      v1.Descriptor
	ConfigFile  v1.ConfigFile
	Annotations map[string]string
	Layers      []Layer
}

// Layer is a layer with its place in the image.
type Layer struct {
	compose.Layer
	ChainID v1.Hash
	// Phase is empty for layers that no builder of ours annotated.
	Phase builder.Phase
}

// Key is the layer's contract key, if it carries one.
func (l Layer) Key() (v1.Hash, bool) {
	h, err := v1.NewHash(l.Descriptor.Annotations[builder.AnnotationLayerKey])
	return h, err == nil
}

// Load reads the image that reference (a tag or digest) names in r. It returns an error matching
// [builder.ErrNotFound] if there is none, and an Input error if what is there does not hold together.
func Load(ctx context.Context, r builder.Reader, reference string) (*Image, error) {
	desc, raw, err := r.Manifest(ctx, reference)
	if err != nil {
		return nil, err
	}
	img := &Image{Descriptor: desc}
	if !desc.MediaType.IsIndex() {
		p, err := loadPlatform(ctx, r, desc, raw)
		if err != nil {
			return nil, err
		}
		img.Annotations, img.Platforms = p.Annotations, []Platform{p}
		return img, nil
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, builder.Errorf(builder.Input, "", "index %s is not valid JSON: %w", desc.Digest, err)
	}
	if len(index.Manifests) > maxChildren {
		return nil, builder.Errorf(builder.Input, "", "index %s lists %d manifests, more than %d", desc.Digest, len(index.Manifests), maxChildren)
	}
	img.Annotations = index.Annotations
	for _, child := range index.Manifests {
		if !runnable(child) {
			continue
		}
		d, raw, err := r.Manifest(ctx, child.Digest.String())
		if err != nil {
			return nil, fmt.Errorf("manifest %s of index %s: %w", child.Digest, desc.Digest, err)
		}
		d.Platform = child.Platform
		p, err := loadPlatform(ctx, r, d, raw)
		if err != nil {
			return nil, err
		}
		img.Platforms = append(img.Platforms, p)
	}
	return img, nil
}

// runnable leaves out what is in an index but is no image for a node: attestations and artifacts.
func runnable(d v1.Descriptor) bool {
	return d.MediaType.IsImage() && (d.Platform == nil || d.Platform.OS != "unknown")
}

func loadPlatform(ctx context.Context, r builder.Reader, desc v1.Descriptor, raw []byte) (Platform, error) {
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return Platform{}, builder.Errorf(builder.Input, "", "manifest %s is not valid JSON: %w", desc.Digest, err)
	}
	p := Platform{Manifest: desc, Config: m.Config, Annotations: m.Annotations}
	if err := loadConfig(ctx, r, m.Config, &p.ConfigFile); err != nil {
		return Platform{}, fmt.Errorf("config of manifest %s: %w", desc.Digest, err)
	}
	p.Platform = v1.Platform{
		OS: p.ConfigFile.OS, Architecture: p.ConfigFile.Architecture,
		Variant: p.ConfigFile.Variant, OSVersion: p.ConfigFile.OSVersion,
	}
	diffIDs := p.ConfigFile.RootFS.DiffIDs
	if len(diffIDs) != len(m.Layers) {
		return Platform{}, builder.Errorf(builder.Input, "the image is damaged: build or copy it again",
			"manifest %s has %d layers but its config has %d diff IDs", desc.Digest, len(m.Layers), len(diffIDs))
	}
	chain := compose.ChainIDs(diffIDs)
	for i, d := range m.Layers {
		p.Layers = append(p.Layers, Layer{
			Layer:   compose.Layer{Descriptor: d, DiffID: diffIDs[i]},
			ChainID: chain[i],
			Phase:   builder.Phase(d.Annotations[builder.AnnotationPhase]),
		})
	}
	return p, nil
}

func loadConfig(ctx context.Context, r builder.Reader, d v1.Descriptor, into *v1.ConfigFile) (err error) {
	if d.Size > maxConfig {
		return builder.Errorf(builder.Input, "", "config %s has %d bytes, more than %d", d.Digest, d.Size, maxConfig)
	}
	body, err := r.OpenBlob(ctx, d)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := body.Close(); err == nil {
			err = cerr
		}
	}()
	raw, err := io.ReadAll(io.LimitReader(body, maxConfig+1))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return builder.Errorf(builder.Input, "", "config %s is not valid JSON: %w", d.Digest, err)
	}
	return nil
}

// Part is the platform's contribution of one phase, as [compose.Build] takes it; ok is false if the image has
// no layer and no input digest of that phase. Config is the whole image's, so Part composes an image again only
// from images that hold a single phase.
func (p Platform) Part(phase builder.Phase) (part compose.Part, ok bool) {
	part.Phase, part.Config = phase, p.ConfigFile.Config
	input, err := v1.NewHash(p.Annotations[builder.AnnotationInputPrefix+string(phase)])
	for _, l := range p.Layers {
		if l.Phase == phase {
			part.Layers = append(part.Layers, l.Layer)
		}
	}
	part.InputDigest = input
	return part, err == nil
}
