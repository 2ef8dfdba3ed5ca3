package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Bounds on what a registry may make us read.
const (
	maxConfig   = 8 << 20
	maxChildren = 1024
	maxLayers   = 512
	maxDepth    = 4 // of indexes in indexes
)

// manifests reads manifests of one repository.
type manifests struct{ repository builder.Reader }

// resolvedManifest is one platform's image.
type resolvedManifest struct {
	digest v1.Hash
	config *v1.ConfigFile
	layers []layer
}

// layer is a layer as the manifest lists it, with the digest of its tar archive from the config.
type layer struct {
	v1.Descriptor
	diffID v1.Hash
}

// get reads a manifest or index and checks its digest.
func (m manifests) get(ctx context.Context, reference string) (v1.Descriptor, []byte, error) {
	d, raw, err := m.repository.Manifest(ctx, reference)
	if err != nil {
		return v1.Descriptor{}, nil, err //nolint:wrapcheck // Resolve names the image
	}
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return v1.Descriptor{}, nil, fmt.Errorf("hash manifest: %w", err)
	}
	if wanted, err := v1.NewHash(reference); err == nil && wanted != digest || d.Digest != digest {
		return v1.Descriptor{}, nil, damaged("manifest %s has the digest %s", reference, digest)
	}
	return d, raw, nil
}

// damaged is an error about an image that does not hold together.
func damaged(format string, args ...any) error {
	return builder.Errorf(builder.Input, "the image is damaged: build it or copy it to the registry again", format, args...)
}

// forPlatform follows indexes to the platform's manifest.
func (m manifests) forPlatform(ctx context.Context, d v1.Descriptor, raw []byte, platform v1.Platform) (*resolvedManifest, error) {
	for range maxDepth {
		switch {
		case d.MediaType.IsImage():
			return m.image(ctx, d, raw, platform)
		case !d.MediaType.IsIndex():
			return nil, builder.Errorf(builder.Input, "name an image in Docker's format (schema 2) or the OCI's",
				"it is of type %q, which is no image", d.MediaType)
		}
		child, err := pick(d, raw, platform)
		if err != nil {
			return nil, err
		}
		next, childRaw, err := m.get(ctx, child.Digest.String())
		if err != nil {
			return nil, fmt.Errorf("manifest for %s: %w", platform, err)
		}
		if next.Size != child.Size || next.MediaType != child.MediaType {
			return nil, damaged("manifest %s is not what its index says", child.Digest)
		}
		d, raw = next, childRaw
	}
	return nil, damaged("indexes are nested more than %d deep", maxDepth)
}

// pick finds the platform in an index.
func pick(d v1.Descriptor, raw []byte, platform v1.Platform) (v1.Descriptor, error) {
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return v1.Descriptor{}, damaged("index %s is not valid JSON: %w", d.Digest, err)
	}
	if len(index.Manifests) > maxChildren {
		return v1.Descriptor{}, damaged("index %s lists %d manifests, more than %d", d.Digest, len(index.Manifests), maxChildren)
	}
	best, bestRank := v1.Descriptor{}, 0
	var there []string
	for _, child := range index.Manifests {
		if !runnable(child) {
			continue
		}
		there = append(there, child.Platform.String())
		if r := rank(*child.Platform, platform); r > bestRank {
			best, bestRank = child, r
		}
	}
	if bestRank == 0 {
		return v1.Descriptor{}, missingPlatform(platform, there)
	}
	return best, nil
}

// runnable leaves out what is in an index but is no image for a node: attestations and artifacts.
func runnable(d v1.Descriptor) bool {
	return (d.MediaType.IsImage() || d.MediaType.IsIndex()) && d.Platform != nil && d.Platform.OS != "unknown"
}

// defaultVariant is the variant that is meant where none is told.
var defaultVariant = map[string]string{"arm64": "v8", "arm": "v7", "amd64": "v1"}

// rank says how well an image's platform serves the wanted one: 0 not at all.
func rank(have, want v1.Platform) int {
	if have.OS != want.OS || have.Architecture != want.Architecture {
		return 0
	}
	if want.OSVersion != "" && have.OSVersion != want.OSVersion {
		return 0
	}
	usual := defaultVariant[want.Architecture]
	switch {
	case have.Variant == want.Variant:
		return 3
	case variant(have.Variant, usual) == variant(want.Variant, usual):
		return 2
	default:
		return 0
	}
}

func variant(v, usual string) string {
	if v == "" {
		return usual
	}
	return v
}

func missingPlatform(platform v1.Platform, there []string) error {
	slices.Sort(there)
	list := strings.Join(slices.Compact(there), ", ")
	if list == "" {
		list = "no platform at all"
	}
	return builder.Errorf(builder.Input, "use an image that has this platform, or leave the platform out of the build",
		"there is no image for %s, only for %s", platform, list)
}

// image reads a manifest and its config.
func (m manifests) image(ctx context.Context, d v1.Descriptor, raw []byte, platform v1.Platform) (*resolvedManifest, error) {
	var manifest v1.Manifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, damaged("manifest %s is not valid JSON: %w", d.Digest, err)
	}
	config, err := m.config(ctx, manifest.Config)
	if err != nil {
		return nil, err
	}
	if have := config.Platform(); have == nil || rank(*have, platform) == 0 {
		return nil, missingPlatform(platform, []string{fmt.Sprint(have)})
	}
	diffIDs := config.RootFS.DiffIDs
	if len(diffIDs) != len(manifest.Layers) || len(diffIDs) > maxLayers {
		return nil, damaged("manifest %s has %d layers, its config %d, and at most %d can be", d.Digest, len(manifest.Layers), len(diffIDs), maxLayers)
	}
	out := &resolvedManifest{digest: d.Digest, config: config}
	for i, l := range manifest.Layers {
		if !supported(l.MediaType) {
			return nil, builder.Errorf(builder.Input, "copy the image with its layers in the registry, unencrypted",
				"layer %s is of type %q, which cannot be unpacked", l.Digest, l.MediaType)
		}
		out.layers = append(out.layers, layer{Descriptor: l, diffID: diffIDs[i]})
	}
	return out, nil
}

func supported(t types.MediaType) bool {
	switch t {
	case types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer, types.DockerLayer, types.DockerUncompressedLayer,
		"application/vnd.docker.image.rootfs.diff.tar.zstd":
		return true
	default:
		return false
	}
}

// config reads a config and checks its digest.
func (m manifests) config(ctx context.Context, d v1.Descriptor) (_ *v1.ConfigFile, err error) {
	if d.Size > maxConfig {
		return nil, damaged("config %s has %d bytes, more than %d", d.Digest, d.Size, maxConfig)
	}
	body, err := m.repository.OpenBlob(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", d.Digest, err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	raw, err := io.ReadAll(io.LimitReader(body, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", d.Digest, err)
	}
	if digest, _, err := v1.SHA256(bytes.NewReader(raw)); err != nil || digest != d.Digest {
		return nil, damaged("config %s has the digest %s", d.Digest, digest)
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return nil, damaged("config %s is not valid JSON: %w", d.Digest, err)
	}
	return config, nil
}
