package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	specs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Bounds of what is read.
const (
	MaxBytes     = 8 << 20 // of a document
	MaxManifests = 1000    // in an index
	MaxLayers    = 400     // overlayfs stacks 500
)

// ErrInvalid is matched by errors about documents that break the rules.
var ErrInvalid = errors.New("invalid")

func invalid(d warmer.Digest, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %w", d, ErrInvalid, fmt.Errorf(format, args...))
}

const (
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs."
	ociLayer       = "application/vnd.oci.image.layer."
)

// document is what indexes and manifests have in common.
type document struct {
	MediaType string             `json:"mediaType"`
	Manifests []specs.Descriptor `json:"manifests"`
	Config    *specs.Descriptor  `json:"config"`
	Layers    []specs.Descriptor `json:"layers"`
}

func parse(d warmer.Digest, data []byte) (document, error) {
	var doc document
	if len(data) > MaxBytes {
		return doc, invalid(d, "%d bytes, more than %d", len(data), MaxBytes)
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return doc, invalid(d, "%w", err)
	}
	return doc, nil
}

// IsIndex tells an index from a manifest: by its type, and by its content where it has none.
func IsIndex(d warmer.Descriptor, data []byte) (bool, error) {
	doc, err := parse(d.Digest, data)
	if err != nil {
		return false, err
	}
	mediaType := doc.MediaType
	if mediaType == "" {
		mediaType = d.MediaType
	}
	index, manifest := len(doc.Manifests) > 0, doc.Config != nil
	switch mediaType {
	case specs.MediaTypeImageIndex, dockerIndex:
		index = true
	case specs.MediaTypeImageManifest, dockerManifest:
		manifest = true
	}
	switch {
	case index && manifest:
		return false, invalid(d.Digest, "both an index and a manifest")
	case !index && !manifest:
		return false, invalid(d.Digest, "neither an index nor a manifest, but %.100q", mediaType)
	}
	return index, nil
}

// Children are what an index or a manifest refers to.
func Children(d warmer.Digest, data []byte) ([]warmer.Descriptor, error) {
	doc, err := parse(d, data)
	if err != nil {
		return nil, err
	}
	if len(doc.Manifests) > MaxManifests {
		return nil, invalid(d, "an index of %d manifests, more than %d", len(doc.Manifests), MaxManifests)
	}
	if len(doc.Layers) > MaxLayers {
		return nil, invalid(d, "%d layers, more than the %d that a node can stack", len(doc.Layers), MaxLayers)
	}
	all := doc.Manifests
	if doc.Config != nil {
		all = append(all, *doc.Config)
	}
	all = append(all, doc.Layers...)
	out := make([]warmer.Descriptor, len(all))
	for i, m := range all {
		if out[i], err = descriptor(d, m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Select finds the manifest for a platform ("linux/arm64") in an index. It fails with [warmer.ErrNotSupported] if there is
// none, and says which there are.
func Select(d warmer.Digest, data []byte, platform string) (warmer.Descriptor, error) {
	want, err := platforms.Parse(platform)
	if err != nil {
		return warmer.Descriptor{}, fmt.Errorf("platform %q: %w", platform, err)
	}
	doc, err := parse(d, data)
	if err != nil {
		return warmer.Descriptor{}, err
	}
	if len(doc.Manifests) > MaxManifests {
		return warmer.Descriptor{}, invalid(d, "an index of %d manifests, more than %d", len(doc.Manifests), MaxManifests)
	}
	match := platforms.Only(want)
	var best *specs.Descriptor
	var there []string
	var unsaid []*specs.Descriptor
	for i := range doc.Manifests {
		m := &doc.Manifests[i]
		if m.MediaType != specs.MediaTypeImageManifest && m.MediaType != dockerManifest {
			continue
		}
		if m.Platform == nil {
			unsaid = append(unsaid, m)
		} else if !match.Match(*m.Platform) {
			there = append(there, printable(platforms.Format(*m.Platform)))
		} else if best == nil || match.Less(*m.Platform, *best.Platform) {
			best = m
		}
	}
	if best == nil && len(unsaid) == 1 { // its configuration says
		best = unsaid[0]
	}
	if best == nil {
		if len(there) > 10 {
			there = append(there[:10], "...")
		}
		return warmer.Descriptor{}, fmt.Errorf("%s is not for %s but for %s: %w", d, platform, strings.Join(there, ", "), warmer.ErrNotSupported)
	}
	return descriptor(d, *best)
}

func printable(s string) string {
	if len(s) > 60 {
		s = s[:60]
	}
	return strings.Trim(fmt.Sprintf("%+q", s), `"`)
}

// Image puts an image together from its manifest and configuration. config is asked for the configuration's bytes once
// the manifest said which they are.
func Image(target, manifest warmer.Descriptor, data []byte, platform string, config func(warmer.Descriptor) ([]byte, error)) (warmer.Image, error) {
	doc, err := parse(manifest.Digest, data)
	if err != nil {
		return warmer.Image{}, err
	}
	if doc.Config == nil {
		return warmer.Image{}, invalid(manifest.Digest, "a manifest without a configuration")
	}
	image := warmer.Image{Target: target, Manifest: manifest}
	if image.Config, err = descriptor(manifest.Digest, *doc.Config); err != nil {
		return warmer.Image{}, err
	}
	if t := image.Config.MediaType; t != specs.MediaTypeImageConfig && t != dockerConfig {
		return warmer.Image{}, fmt.Errorf("%s is not an image: its configuration is %.100q: %w", manifest.Digest, t, warmer.ErrNotSupported)
	}
	if image.Config.Size > MaxBytes {
		return warmer.Image{}, invalid(manifest.Digest, "a configuration of %d bytes, more than %d", image.Config.Size, MaxBytes)
	}
	if n := len(doc.Layers); n > MaxLayers {
		return warmer.Image{}, invalid(manifest.Digest, "%d layers, more than the %d that a node can stack", n, MaxLayers)
	}
	raw, err := config(image.Config)
	if err != nil {
		return warmer.Image{}, err
	}
	diffs, err := diffIDs(image.Config.Digest, raw, platform)
	if err != nil {
		return warmer.Image{}, err
	}
	if len(diffs) != len(doc.Layers) {
		return warmer.Image{}, invalid(manifest.Digest, "%d layers, but %d in its configuration", len(doc.Layers), len(diffs))
	}
	image.Layers, err = layers(manifest.Digest, doc.Layers, diffs)
	return image, err
}

func layers(of warmer.Digest, from []specs.Descriptor, diffs []warmer.Digest) ([]warmer.Layer, error) {
	out := make([]warmer.Layer, len(from))
	sizes := map[warmer.Digest]int64{}
	for i, l := range from {
		d, err := descriptor(of, l)
		if err != nil {
			return nil, err
		}
		if size, again := sizes[d.Digest]; again && size != d.Size {
			return nil, invalid(of, "layer %s has %d bytes and %d bytes", d.Digest, size, d.Size)
		}
		sizes[d.Digest] = d.Size
		if !strings.HasPrefix(d.MediaType, ociLayer) && !strings.HasPrefix(d.MediaType, dockerLayer) {
			return nil, fmt.Errorf("%s: layer %s is %.100q: %w", of, d.Digest, d.MediaType, warmer.ErrNotSupported)
		}
		out[i] = warmer.Layer{Descriptor: d, DiffID: diffs[i], ChainID: diffs[i], Phase: phase(d.Annotations)}
		if i > 0 {
			out[i].ChainID = chain(out[i-1].ChainID, diffs[i])
		}
	}
	return out, nil
}

// chain is the OCI image spec's ChainID: https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid
func chain(below, diff warmer.Digest) warmer.Digest {
	sum := sha256.Sum256([]byte(string(below) + " " + string(diff)))
	return warmer.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

func phase(annotations map[string]string) string {
	if p := annotations["dev.pitcrew.phase"]; slices.Contains(warmer.Phases, p) {
		return p
	}
	return warmer.PhaseOther
}

// diffIDs reads them from a configuration, which has to be for the platform.
func diffIDs(d warmer.Digest, data []byte, platform string) ([]warmer.Digest, error) {
	var config specs.Image
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, invalid(d, "%w", err)
	}
	if config.OS != "" {
		want, err := platforms.Parse(platform)
		if err != nil {
			return nil, fmt.Errorf("platform %q: %w", platform, err)
		}
		if !platforms.Only(want).Match(config.Platform) {
			return nil, fmt.Errorf("%s is not for %s but for %s: %w", d, platform, printable(platforms.Format(config.Platform)), warmer.ErrNotSupported)
		}
	}
	out := make([]warmer.Digest, len(config.RootFS.DiffIDs))
	for i, id := range config.RootFS.DiffIDs {
		out[i] = warmer.Digest(id)
		if err := out[i].Validate(); err != nil {
			return nil, invalid(d, "diff ID %d: %w", i, err)
		}
	}
	return out, nil
}

func descriptor(in warmer.Digest, d specs.Descriptor) (warmer.Descriptor, error) {
	out := warmer.Descriptor{MediaType: d.MediaType, Digest: warmer.Digest(d.Digest), Size: d.Size, Annotations: d.Annotations}
	if err := out.Digest.Validate(); err != nil {
		return out, invalid(in, "%w", err)
	}
	if d.Size < 0 {
		return out, invalid(in, "%s has a size of %d", d.Digest, d.Size)
	}
	return out, nil
}

// MediaType is what a document says that it is, or what its content says where it does not.
func MediaType(data []byte) string {
	doc, err := parse("", data)
	switch {
	case err != nil:
		return ""
	case doc.MediaType != "":
		return doc.MediaType
	case len(doc.Manifests) > 0:
		return specs.MediaTypeImageIndex
	}
	return specs.MediaTypeImageManifest
}
