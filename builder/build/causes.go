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
	if u.ready {
		return out // nobody has its files
	}
	part := u.plan.Layers[i]
	was := map[string]bool{}
	if prev != nil && u.phase.Name == builder.Assets {
		for _, f := range prev.Files {
			was[f.Path] = true
		}
	}
	for _, f := range u.plan.LockFiles(i) {
		change := "added"
		if was[f.Path] {
			change = "changed"
		}
		out = append(out, Cause{Path: f.Path, Change: change})
	}
	for _, p := range part.Gone {
		out = append(out, Cause{Path: p, Change: "removed"})
	}
	sortCauses(out)
	return out
}

func sortCauses(c []Cause) {
	slices.SortFunc(c, func(a, b Cause) int { return strings.Compare(a.Path, b.Path) })
}
