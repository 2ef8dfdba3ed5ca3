package compose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

func inPhaseOrder(parts []Part) []Part {
	order := builder.Phases()
	return slices.SortedStableFunc(slices.Values(parts), func(a, b Part) int {
		return cmp.Compare(slices.Index(order, a.Phase), slices.Index(order, b.Phase))
	})
}

// inLayerOrder splits the delta layers off their parts and puts them on top of all others: an artist's commit then leaves
// every other layer's chain ID, and so what nodes have unpacked, as it is.
func inLayerOrder(parts []Part) []Part {
	var lower, upper []Part
	for _, p := range parts {
		rest, deltas := p, p
		rest.Layers, deltas.Layers = nil, nil
		for _, l := range p.Layers {
			if l.Delta() {
				deltas.Layers = append(deltas.Layers, l)
			} else {
				rest.Layers = append(rest.Layers, l)
			}
		}
		lower, upper = append(lower, rest), append(upper, deltas)
	}
	return append(lower, upper...)
}

// configFile takes the parts once in phase order, and once with their layers in order.
func configFile(p v1.Platform, parts, ordered []Part, created time.Time) v1.ConfigFile {
	cf := v1.ConfigFile{
		Architecture: p.Architecture,
		OS:           p.OS,
		OSVersion:    p.OSVersion,
		Variant:      p.Variant,
		Created:      v1.Time{Time: created.UTC()},
		RootFS:       v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
	}
	for _, part := range parts {
		cf.Config = Merge(cf.Config, part.Config)
	}
	for _, part := range ordered {
		for i, l := range part.Layers {
			cf.RootFS.DiffIDs = append(cf.RootFS.DiffIDs, l.DiffID)
			cf.History = append(cf.History, v1.History{
				Created:   v1.Time{Time: created.UTC()},
				CreatedBy: fmt.Sprintf("pitcrew %s %d/%d", part.Phase, i+1, len(part.Layers)),
			})
		}
	}
	return cf
}

// Merge lays an upper phase's settings over a lower one's. Environment variables, labels, ports and volumes are
// united, the upper one's value winning; a scalar that the upper phase sets replaces the lower one's. An upper
// entrypoint also drops the lower cmd, which was written for another program.
func Merge(lower, upper v1.Config) v1.Config {
	out := lower
	out.Env = mergeEnv(lower.Env, upper.Env)
	out.Labels = united(lower.Labels, upper.Labels)
	out.ExposedPorts = united(lower.ExposedPorts, upper.ExposedPorts)
	out.Volumes = united(lower.Volumes, upper.Volumes)
	if len(upper.Entrypoint) > 0 {
		out.Entrypoint, out.Cmd = upper.Entrypoint, nil
	}
	if len(upper.Cmd) > 0 {
		out.Cmd = upper.Cmd
	}
	out.User = cmp.Or(upper.User, lower.User)
	out.WorkingDir = cmp.Or(upper.WorkingDir, lower.WorkingDir)
	out.StopSignal = cmp.Or(upper.StopSignal, lower.StopSignal)
	return out
}

// mergeEnv keeps the lower order, replaces in place and appends what is new.
func mergeEnv(lower, upper []string) []string {
	out := slices.Clone(lower)
	for _, kv := range upper {
		name, _, _ := strings.Cut(kv, "=")
		i := slices.IndexFunc(out, func(have string) bool { return strings.HasPrefix(have, name+"=") })
		if i >= 0 {
			out[i] = kv
		} else {
			out = append(out, kv)
		}
	}
	return out
}

func united[V any](lower, upper map[string]V) map[string]V {
	if len(lower)+len(upper) == 0 {
		return nil
	}
	out := make(map[string]V, len(lower)+len(upper))
	maps.Copy(out, lower)
	maps.Copy(out, upper)
	return out
}
