package pipeline

import (
	"cmp"

	"github.com/pitcrew-dev/pitcrew/builder"
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
		{builder.Assets, p.Phases.Assets}, {builder.Base, p.Phases.Base},
		{builder.Code, p.Phases.Code}, {builder.Server, p.Phases.Server},
	} {
		if np.Phase != nil {
			out = append(out, np)
		}
	}
	return out
}

func (p *Pipeline) applyDefaults() {
	p.Lock = cmp.Or(p.Lock, "assets.lock")
	for _, np := range p.Each() {
		layers, codec := 1, "zstd:3"
		if np.Name == builder.Assets {
			layers, codec = 32, "auto"
		}
		np.Phase.Repository = cmp.Or(np.Phase.Repository, p.Repository)
		np.Phase.Split.Layers = cmp.Or(np.Phase.Split.Layers, layers)
		np.Phase.Split.MaxLayerSize = cmp.Or(np.Phase.Split.MaxLayerSize, 512<<20)
		np.Phase.Compression = cmp.Or(np.Phase.Compression, codec)
		for i := range np.Phase.Sources {
			if a := np.Phase.Sources[i].Apt; a != nil {
				a.Dependencies = cmp.Or(a.Dependencies, "all")
				if a.UsrMerge == nil {
					a.UsrMerge = new(true)
				}
			}
		}
	}
}
