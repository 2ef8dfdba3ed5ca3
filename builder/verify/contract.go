package verify

import (
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
)

// contract checks what manifests and configs say.
func (c *checker) contract(img *inspect.Image) {
	if c.report.Contract != builder.ContractVersion {
		c.fault("contract version %q is not %s, which this builder knows", c.report.Contract, builder.ContractVersion)
	}
	var assets []v1.Hash
	for i, p := range img.Platforms {
		c.platform(p)
		own := assetChain(p)
		if i == 0 {
			assets = own
		} else if !slices.Equal(assets, own) {
			c.fault("%s has other asset layers or chain IDs than %s", p.Platform, img.Platforms[0].Platform)
		}
	}
}

func (c *checker) platform(p inspect.Platform) {
	if p.Annotations[builder.AnnotationContract] != builder.ContractVersion {
		c.fault("%s: the manifest lacks %s", p.Platform, builder.AnnotationContract)
	}
	if len(p.Layers) > compose.MaxLayers {
		c.fault("%s: %d layers, at most %d are allowed", p.Platform, len(p.Layers), compose.MaxLayers)
	}
	order := builder.Phases()
	last := 0
	for i, l := range p.Layers {
		at := slices.Index(order, l.Phase)
		if l.Delta() {
			at = len(order)
		}
		switch {
		case at < 0:
			c.fault("%s: layer %d (%s) is of phase %q", p.Platform, i, l.Descriptor.Digest, l.Phase)
			continue
		case at < last:
			c.fault("%s: layer %d of phase %s lies above layers that belong on top of it", p.Platform, i, l.Phase)
		}
		last = max(last, at)
		if _, ok := l.Key(); !ok {
			c.fault("%s: layer %d (%s) has no %s", p.Platform, i, l.Descriptor.Digest, builder.AnnotationLayerKey)
		}
		if _, ok := p.Part(l.Phase); !ok {
			c.fault("%s: the manifest lacks %s%s", p.Platform, builder.AnnotationInputPrefix, l.Phase)
		}
	}
}

// assetChain is what a node knows the assets' base layers by.
func assetChain(p inspect.Platform) []v1.Hash {
	var out []v1.Hash
	for _, l := range p.Layers {
		if l.Phase == builder.Assets && !l.Delta() {
			out = append(out, l.ChainID)
		}
	}
	return out
}

// epochOf is the time that a layer's entries must have. Asset layers stay as they are when later builds have another; each has
// one time, whichever it is.
func (c *checker) epochOf(l inspect.Layer) time.Time {
	if l.Phase == builder.Assets {
		return time.Time{}
	}
	return c.epoch
}

// deltas holds that no delta writes or deletes what another phase wrote.
func (c *checker) deltas(p inspect.Platform) {
	owner := map[string]builder.Phase{}
	for _, l := range p.Layers {
		if l.Phase != builder.Assets {
			for _, ch := range c.changes(l) {
				owner[ch.path] = l.Phase
			}
		}
	}
	for _, l := range p.Layers {
		if !l.Delta() {
			continue
		}
		for _, ch := range c.changes(l) {
			if phase, ok := owner[ch.path]; ok {
				c.fault("%s: the delta layer %s touches %q of phase %s", p.Platform, l.Descriptor.Digest, ch.path, phase)
			}
		}
	}
}

// changes are what a layer does, if it could be read.
func (c *checker) changes(l inspect.Layer) []change {
	if own := c.contents[l.Descriptor.Digest]; own != nil {
		return own.changes
	}
	return nil
}
