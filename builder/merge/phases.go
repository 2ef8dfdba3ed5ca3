package merge

import (
	"fmt"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// PhaseTree is what one phase puts into the image.
type PhaseTree struct {
	Phase builder.Phase
	Tree  builder.Tree
}

// Collisions fails with an Input error that lists every path which upper writes although a phase below wrote it,
// unless a glob of replaces says that this is meant. Folders with the same mode and owner are no collision.
func Collisions(lower []PhaseTree, upper PhaseTree, replaces []string) error {
	for _, g := range replaces {
		if !doublestar.ValidatePattern(g) {
			return builder.Errorf(builder.Config, "", "phase %s: glob %q in replaces is not valid", upper.Phase, g)
		}
	}
	type owner struct {
		entry *builder.Entry
		phase builder.Phase
	}
	owners := map[string]owner{}
	for _, l := range lower {
		for i := range l.Tree.Entries {
			owners[l.Tree.Entries[i].Path] = owner{&l.Tree.Entries[i], l.Phase}
		}
	}
	var faults []string
	for i := range upper.Tree.Entries {
		e := &upper.Tree.Entries[i]
		have, ok := owners[e.Path]
		if ok && !sameDir(*have.entry, *e) && !matchAny(replaces, e.Path) {
			faults = append(faults, fmt.Sprintf("%s: written by phase %s and by phase %s", e.Path, have.phase, upper.Phase))
		}
	}
	if len(faults) > 0 {
		return faultsError(faults)
	}
	return nil
}
