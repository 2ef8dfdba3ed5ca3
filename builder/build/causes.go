package build

import (
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

// causes compares a layer with what the lock says of it.
func (u *unit) causes(i int, prev *lock.Lock) []Cause {
	out := []Cause{}
	part := u.plan.Layers[i]
	was := map[string]lock.File{}
	if prev != nil && u.phase.Name == builder.Assets {
		for _, f := range prev.Files {
			if f.Layer == part.ID {
				was[f.Path] = f
			}
		}
	}
	now := map[string]bool{}
	for _, f := range part.LockFiles() {
		now[f.Path] = true
		old, ok := was[f.Path]
		switch {
		case !ok:
			out = append(out, Cause{Path: f.Path, Change: "added"})
		case old != f:
			out = append(out, Cause{Path: f.Path, Change: "changed"})
		}
	}
	for path := range was {
		if !now[path] {
			out = append(out, Cause{Path: path, Change: "removed"})
		}
	}
	sortCauses(out)
	return out
}

func sortCauses(c []Cause) {
	slices.SortFunc(c, func(a, b Cause) int { return strings.Compare(a.Path, b.Path) })
}
