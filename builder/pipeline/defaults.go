package pipeline

import (
	"cmp"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// What holds where a pipeline says nothing else.
const (
	defaultLock         = "assets.lock"
	defaultUnpackedSize = 64 << 30
	defaultEntries      = 2_000_000
	defaultLayers       = 1
	defaultAssetLayers  = 32
	defaultLayerSize    = 512 << 20
	defaultDeltas       = 24
	defaultCodec        = "zstd:3"
	defaultAssetCodec   = "auto"
	defaultDependencies = "all"
)

// NamedPhase is a phase with its name.
type NamedPhase struct {
	Name  builder.Phase
	Phase *Phase
}

// Each lists the phases that the pipeline has, bottom first.
func (p *Pipeline) Each() []NamedPhase {
	var out []NamedPhase
	for _, np := range []NamedPhase{
		{builder.Assets, p.Phases.Assets},
		{builder.Base, p.Phases.Base},
		{builder.Code, p.Phases.Code},
		{builder.Server, p.Phases.Server},
	} {
		if np.Phase != nil {
			out = append(out, np)
		}
	}
	return out
}

// applyDefaults fills in what the pipeline leaves out. It is the one place that knows the defaults that the types'
// comments and docs/pipeline.md state. Budgets have none, and neither has what concerns the image's configuration.
func (p *Pipeline) applyDefaults() {
	p.Lock = cmp.Or(p.Lock, defaultLock)
	p.Limits.MaxUnpackedSize = cmp.Or(p.Limits.MaxUnpackedSize, defaultUnpackedSize)
	p.Limits.MaxEntries = cmp.Or(p.Limits.MaxEntries, defaultEntries)
	for _, np := range p.Each() {
		layers, codec := defaultLayers, defaultCodec
		if np.Name == builder.Assets {
			layers, codec = defaultAssetLayers, defaultAssetCodec
		}
		np.Phase.Repository = cmp.Or(np.Phase.Repository, p.Repository)
		np.Phase.Split.Layers = cmp.Or(np.Phase.Split.Layers, layers)
		np.Phase.Split.MaxLayerSize = cmp.Or(np.Phase.Split.MaxLayerSize, defaultLayerSize)
		np.Phase.Split.MaxDeltas = cmp.Or(np.Phase.Split.MaxDeltas, defaultDeltas)
		np.Phase.Compression = cmp.Or(np.Phase.Compression, codec)
		for i := range np.Phase.Sources {
			np.Phase.Sources[i].applyDefaults()
		}
		np.Phase.Build.applyDefaults()
	}
}

func (b *Build) applyDefaults() {
	if b == nil {
		return
	}
	for i := range b.Sources {
		b.Sources[i].applyDefaults()
	}
	for i := range b.Outputs {
		b.Outputs[i].Destination = cmp.Or(b.Outputs[i].Destination, "/")
	}
}

func (s *Source) applyDefaults() {
	s.Destination = cmp.Or(s.Destination, "/")
	if s.Apt == nil {
		return
	}
	s.Apt.Dependencies = cmp.Or(s.Apt.Dependencies, defaultDependencies)
	if s.Apt.UsrMerge == nil {
		s.Apt.UsrMerge = new(true)
	}
}
