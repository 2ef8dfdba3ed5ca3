package build

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
)

// maxNames bounds how many inputs a reason names.
const maxNames = 5

// reason says why a phase is cached, or which of its inputs is another one.
func (r *run) reason(phase builder.Phase) string {
	var units []*unit
	made, ready := false, true
	for _, u := range r.units {
		if u.phase.Name == phase {
			units = append(units, u)
			made, ready = made || u.made, ready && u.ready
		}
	}
	switch {
	case ready:
		return "an image of the same sources is in the registry"
	case !made:
		return "nothing changed: every layer is there"
	case r.known.previous == nil && r.req.Lock == nil:
		return "no earlier build is known"
	}
	if changed := r.changedPins(units); len(changed) > 0 {
		return "other versions than in the lock: " + enumerate(changed)
	}
	if phase == builder.Assets && r.req.Lock != nil {
		if paths := changedPaths(units[0], r); len(paths) > 0 {
			return fmt.Sprintf("%d files changed: %s", len(paths), enumerate(paths))
		}
	}
	if was, ok := r.previousInput(phase); ok && was != compose.PhaseDigest(inputsOf(r.units, phase)) {
		return fmt.Sprintf("its sources or settings changed: the present image has input %.19s", was)
	}
	return "the layers of an earlier build are not known here"
}

// changedPins are the names that stand for something else than the lock says, or that it does not have: those of packages
// have their versions in them.
func (r *run) changedPins(units []*unit) []string {
	var out []string
	if r.req.Lock == nil {
		return nil
	}
	for _, u := range units {
		for _, p := range u.pins {
			if was := r.pinned(p.Name); was != p.Digest && !slices.Contains(out, p.Name) {
				out = append(out, p.Name)
			}
		}
	}
	return out
}

func (r *run) pinned(name string) v1.Hash {
	for _, i := range r.req.Lock.Images {
		if i.Name == name {
			return i.Digest
		}
	}
	return v1.Hash{}
}

// changedPaths are the paths of the layers that are new.
func changedPaths(u *unit, r *run) []string {
	var out []string
	for i, part := range u.plan.Layers {
		if part.Known == nil {
			for _, c := range u.causes(i, r.req.Lock) {
				out = append(out, c.Path)
			}
		}
	}
	return out
}

func (r *run) previousInput(phase builder.Phase) (v1.Hash, bool) {
	if r.known.previous == nil {
		return v1.Hash{}, false
	}
	h, err := v1.NewHash(r.known.previous.Annotations[builder.AnnotationInputPrefix+string(phase)])
	return h, err == nil
}

func enumerate(names []string) string {
	if more := len(names) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), more)
	}
	return strings.Join(names, ", ")
}
