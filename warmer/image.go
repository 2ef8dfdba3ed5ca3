package warmer

import (
	"fmt"
	"strings"
)

// Digest is what content is named by: "sha256:" and 64 hexadecimal digits.
type Digest string

// Descriptor is what a registry, an index or a manifest says of a piece of content. None of it is to be believed before
// content with this digest is there.
type Descriptor struct {
	MediaType string
	Digest    Digest
	// Size is in bytes; 0 means that nobody said.
	Size        int64
	Annotations map[string]string
}

// Validate says what is wrong with a digest that was read from somewhere.
func (d Digest) Validate() error {
	hex, ok := strings.CutPrefix(string(d), "sha256:")
	if ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == "" {
		return nil
	}
	return fmt.Errorf("digest %.80q: want sha256: and 64 hexadecimal digits", string(d))
}

// Image is what a reference stands for on this node's platform.
type Image struct {
	// Target is the index, or the manifest where there is none.
	Target Descriptor
	// Manifest is the platform's; the same as Target where there is no index.
	Manifest Descriptor
	Config   Descriptor
	// Layers are all of them, bottom first.
	Layers []Layer
}

// Layer is one layer of an image.
type Layer struct {
	Descriptor
	// DiffID is the digest of the uncompressed layer, ChainID that of the layer and all below it: the name of its snapshot.
	DiffID, ChainID Digest
	// Phase is what the builder says it is: assets, base, code or server; other and no annotations are [PhaseOther].
	Phase string
}

// The phases of an image, by the contract's annotations.
const (
	PhaseAssets = "assets"
	PhaseBase   = "base"
	PhaseCode   = "code"
	PhaseServer = "server"
	PhaseOther  = "other"
)

// Phases are all values of [Layer.Phase].
var Phases = []string{PhaseAssets, PhaseBase, PhaseCode, PhaseServer, PhaseOther}

// Layers says which layers of an image are wanted.
type Layers string

const (
	// All makes the image start without a pull.
	All Layers = "all"
	// Assets are the layers at the bottom that the builder calls assets.
	Assets Layers = "assets"
)

// Select is the wanted part of the layers.
func (l Layers) Select(layers []Layer) []Layer {
	if l != Assets {
		return layers
	}
	for i := range layers {
		if layers[i].Phase != PhaseAssets {
			return layers[:i]
		}
	}
	return layers
}
