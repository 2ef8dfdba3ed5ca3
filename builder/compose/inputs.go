package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// PhaseDigest joins the input digests of one phase on several platforms into the one that names the phase's
// image. A phase with the same input everywhere (assets) still lists every platform.
func PhaseDigest(inputs map[string]v1.Hash) v1.Hash {
	h := sha256.New()
	for _, platform := range slices.Sorted(maps.Keys(inputs)) {
		fmt.Fprintf(h, "%s %s\n", platform, inputs[platform])
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// PhaseTag is the tag under which a phase's image is found again by its [PhaseDigest].
func PhaseTag(p builder.Phase, digest v1.Hash) string {
	return string(p) + "-" + digest.Hex[:32]
}

func partInputs(parts []Part) map[string]string {
	out := map[string]string{}
	for _, p := range parts {
		out[builder.AnnotationInputPrefix+string(p.Phase)] = p.InputDigest.String()
	}
	return out
}

func indexInputs(platforms []Platform) map[string]string {
	byPhase := map[builder.Phase]map[string]v1.Hash{}
	for _, p := range platforms {
		for _, part := range p.Parts {
			if byPhase[part.Phase] == nil {
				byPhase[part.Phase] = map[string]v1.Hash{}
			}
			byPhase[part.Phase][p.Platform.String()] = part.InputDigest
		}
	}
	out := map[string]string{}
	for phase, inputs := range byPhase {
		out[builder.AnnotationInputPrefix+string(phase)] = PhaseDigest(inputs).String()
	}
	return out
}

// sameAssets holds the promise the whole design rests on: every platform lists the same asset layers.
func sameAssets(platforms []Platform) error {
	var first []v1.Hash
	for i, p := range platforms {
		var digests []v1.Hash
		for _, part := range p.Parts {
			if part.Phase == builder.Assets {
				for _, l := range part.Layers {
					digests = append(digests, l.Descriptor.Digest)
				}
			}
		}
		if i == 0 {
			first = digests
		} else if !slices.Equal(first, digests) {
			return builder.Errorf(builder.Input, "build the assets phase once and compose both platforms from it",
				"compose: the asset layers of %s and %s differ", platforms[0].Platform, p.Platform)
		}
	}
	return nil
}

// ChainIDs are the names under which a node stores the unpacked layers: chain ID 0 is diff ID 0, and each
// further one is the digest of the one below, a space and its own diff ID (OCI image spec, "Layer ChainID").
func ChainIDs(diffIDs []v1.Hash) []v1.Hash {
	out := make([]v1.Hash, len(diffIDs))
	for i, d := range diffIDs {
		if i == 0 {
			out[i] = d
			continue
		}
		sum := sha256.Sum256([]byte(out[i-1].String() + " " + d.String()))
		out[i] = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
	}
	return out
}
