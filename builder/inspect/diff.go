package inspect

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Diff is what moving a node from one image to another costs: `builder diff --output json`. Sizes are bytes.
type Diff struct {
	Old       string         `json:"old"`
	New       string         `json:"new"`
	Platforms []PlatformDiff `json:"platforms"`
}

// PlatformDiff is one platform of a [Diff].
type PlatformDiff struct {
	Platform string `json:"platform"`
	// PullBytes is what a node that holds the old image fetches; ReusedBytes is what it has already.
	PullBytes   int64 `json:"pullBytes"`
	ReusedBytes int64 `json:"reusedBytes"`
	// UnpackBytes is the compressed size of the layers that get a new chain ID: fetched or not, they are unpacked again.
	UnpackBytes int64       `json:"unpackBytes"`
	Layers      []LayerDiff `json:"layers"`
}

// LayerDiff is a layer of the new image that a node holding the old one lacks, in whole or unpacked.
type LayerDiff struct {
	Digest string `json:"digest"`
	Phase  string `json:"phase"`
	Size   int64  `json:"size"`
	// Pull is false if the bytes are there and only have to be unpacked on a new parent.
	Pull bool `json:"pull"`
}

// Compare tells what a node that holds old must do to hold next, for each platform of next. A platform that old
// lacks, or a nil old, is a cold node's pull.
func Compare(old, next *Image) Diff {
	d := Diff{New: next.Descriptor.Digest.String(), Platforms: []PlatformDiff{}}
	if old != nil {
		d.Old = old.Descriptor.Digest.String()
	}
	for _, p := range next.Platforms {
		d.Platforms = append(d.Platforms, comparePlatform(old.platform(p.Platform), p))
	}
	return d
}

func (img *Image) platform(want v1.Platform) *Platform {
	if img == nil {
		return nil
	}
	for i := range img.Platforms {
		if img.Platforms[i].Platform.Equals(want) {
			return &img.Platforms[i]
		}
	}
	return nil
}

func comparePlatform(old *Platform, next Platform) PlatformDiff {
	blobs, chains := map[v1.Hash]bool{}, map[v1.Hash]bool{}
	if old != nil {
		for _, b := range old.Blobs() {
			blobs[b.Digest] = true
		}
		for _, l := range old.Layers {
			chains[l.ChainID] = true
		}
	}
	d := PlatformDiff{Platform: next.Platform.String(), Layers: []LayerDiff{}}
	for _, b := range next.Blobs() {
		if blobs[b.Digest] {
			d.ReusedBytes += b.Size
		} else {
			d.PullBytes += b.Size
		}
	}
	for _, l := range next.Layers {
		if !chains[l.ChainID] {
			size := l.Descriptor.Size
			d.UnpackBytes += size
			d.Layers = append(d.Layers, LayerDiff{
				Digest: l.Descriptor.Digest.String(), Phase: string(l.Phase), Size: size, Pull: !blobs[l.Descriptor.Digest],
			})
		}
	}
	return d
}

// Phases lists the phases whose layers differ, bottom first.
func (d PlatformDiff) Phases() []builder.Phase {
	seen := map[builder.Phase]bool{}
	for _, l := range d.Layers {
		seen[builder.Phase(l.Phase)] = true
	}
	var out []builder.Phase
	for _, p := range builder.Phases() {
		if seen[p] {
			out = append(out, p)
		}
	}
	return out
}
