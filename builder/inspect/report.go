package inspect

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Report is what `builder inspect --output json` prints. Sizes are bytes.
type Report struct {
	Index     string           `json:"index"`
	Platforms []PlatformReport `json:"platforms"`
	// StoredBytes is what a registry keeps: every blob once. NaiveBytes is what it would keep if the platforms
	// shared nothing.
	StoredBytes int64 `json:"storedBytes"`
	NaiveBytes  int64 `json:"naiveBytes"`
}

// PlatformReport is one platform of a [Report].
type PlatformReport struct {
	Platform  string        `json:"platform"`
	Digest    string        `json:"digest"`
	Layers    []LayerReport `json:"layers"`
	PullBytes int64         `json:"pullBytes"`
}

// LayerReport is one layer of a [PlatformReport], bottom first.
type LayerReport struct {
	Digest    string `json:"digest"`
	DiffID    string `json:"diffID"`
	ChainID   string `json:"chainID"`
	Size      int64  `json:"size"`
	MediaType string `json:"mediaType"`
	Phase     string `json:"phase"`
	// Shared is true if every platform of the image lists this layer under the same chain ID, so that it is
	// stored, pushed and, on a node, unpacked once.
	Shared bool `json:"shared"`
}

// Describe makes the report of an image.
func Describe(img *Image) Report {
	r := Report{Index: img.Descriptor.Digest.String(), Platforms: []PlatformReport{}}
	uses := chainUses(img)
	stored := map[v1.Hash]bool{}
	for _, p := range img.Platforms {
		pr := PlatformReport{Platform: p.Platform.String(), Digest: p.Manifest.Digest.String(), Layers: []LayerReport{}}
		for _, l := range p.Layers {
			d := l.Descriptor
			pr.Layers = append(pr.Layers, LayerReport{
				Digest: d.Digest.String(), DiffID: l.DiffID.String(), ChainID: l.ChainID.String(),
				Size: d.Size, MediaType: string(d.MediaType), Phase: string(l.Phase),
				Shared: len(img.Platforms) > 1 && uses[l.ChainID] == len(img.Platforms),
			})
		}
		for _, d := range p.Blobs() {
			pr.PullBytes += d.Size
			if !stored[d.Digest] {
				stored[d.Digest] = true
				r.StoredBytes += d.Size
			}
		}
		r.NaiveBytes += pr.PullBytes
		r.Platforms = append(r.Platforms, pr)
	}
	return r
}

func chainUses(img *Image) map[v1.Hash]int {
	uses := map[v1.Hash]int{}
	for _, p := range img.Platforms {
		for _, l := range p.Layers {
			uses[l.ChainID]++
		}
	}
	return uses
}

// Blobs lists what a node fetches for the platform besides the index: its manifest, config and layers, each
// digest once.
func (p Platform) Blobs() []v1.Descriptor {
	out := []v1.Descriptor{p.Manifest, p.Config}
	seen := map[v1.Hash]bool{}
	for _, l := range p.Layers {
		if !seen[l.Descriptor.Digest] {
			seen[l.Descriptor.Digest] = true
			out = append(out, l.Descriptor)
		}
	}
	return out
}
