package pipeline

import (
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// FullProfile is the profile that every pipeline has: all of the assets.
const FullProfile = "full"

var directoriesSyntax = newSyntax(`keep|prune`, "use keep or prune")

// profiles checks the parts of the assets that have names, and the one that is chosen.
func (c *checker) profiles(at string, phase builder.Phase, p *Phase) {
	list := join(at, "profiles")
	if phase != builder.Assets {
		for _, field := range []string{"profiles", "profile"} {
			if c.written(join(at, field)) {
				c.fault(join(at, field), "write it under phases.assets", "only assets have profiles")
			}
		}
		return
	}
	if c.written(list) && len(p.Profiles) == 0 {
		c.fault(list, "write at least one, or leave it out", "is empty")
	}
	names := []string{FullProfile}
	for i := range p.Profiles {
		own := &p.Profiles[i]
		at := item(list, i)
		c.match(join(at, "name"), own.Name, nameSyntax)
		if slices.Contains(names, own.Name) {
			c.fault(join(at, "name"), "choose another name", "%s is taken", quote(own.Name))
		}
		names = append(names, own.Name)
		c.globs(join(at, "include"), own.Include)
		c.globs(join(at, "exclude"), own.Exclude)
		c.globs(join(at, "placeholders"), own.Placeholders)
		c.optional(join(at, "directories"), own.Directories, directoriesSyntax)
	}
	if chosen := join(at, "profile"); c.written(chosen) && !slices.Contains(names, p.Profile) {
		c.fault(chosen, "use "+strings.Join(names, ", "), "%s is not a profile", quote(p.Profile))
	}
}
