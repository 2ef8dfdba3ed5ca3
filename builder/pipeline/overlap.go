package pipeline

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// claim is a path that the file itself says a source writes: an entry of files, or the folder that all of a dir,
// archive, bucket or git source goes to.
type claim struct {
	at        string // where the file says so
	target    string // absolute
	phase     builder.Phase
	platforms []string
	// folder is the mode and owner if a files entry asks for a folder: others may ask for the same.
	folder string
	// whole is set for the destination of a dir, archive, bucket or git source.
	whole bool
}

// same reports whether two claims for one path go against the same others.
func (c claim) same(other claim) bool {
	return c.phase == other.phase && c.folder == other.folder && c.whole == other.whole && slices.Equal(c.platforms, other.platforms)
}

// overlaps finds the paths that two sources claim. What sources hold is compared when they are read.
func (c *checker) overlaps(phases []NamedPhase, all []string) {
	seen := map[string][]claim{}
	for _, np := range phases {
		for i := range np.Phase.Sources {
			s := &np.Phase.Sources[i]
			for _, own := range claims(item(join("phases", string(np.Name))+".sources", i), np.Name, s, all) {
				c.compare(own, seen[own.target], np.Phase.Replaces)
				if !slices.ContainsFunc(seen[own.target], own.same) {
					seen[own.target] = append(seen[own.target], own)
				}
			}
		}
	}
}

// compare notes the first earlier claim that goes against a later one.
func (c *checker) compare(own claim, earlier []claim, replaces []string) {
	for _, other := range earlier {
		samePhase := other.phase == own.phase
		switch {
		case !share(own.platforms, other.platforms),
			own.folder != "" && own.folder == other.folder,
			!samePhase && replaced(replaces, own.target),
			own.whole != other.whole,
			// Folders of one phase may well be laid over each other.
			own.whole && samePhase:
			continue
		}
		hint := "write it once, or list it under the later phase's replaces"
		if samePhase {
			hint = "write it once"
		}
		c.fault(own.at, hint, "%s is also written by %s", quote(own.target), other.at)
		return
	}
}

func claims(at string, phase builder.Phase, s *Source, all []string) []claim {
	platforms := s.Platforms
	if len(platforms) == 0 {
		platforms = all
	}
	var out []claim
	for i, f := range s.Files {
		if f.Path == "" || !kept(s, strings.TrimPrefix(f.Path, "/")) {
			continue
		}
		own := claim{at: item(at+".files", i) + ".path", target: path.Join("/", s.Destination, f.Path), phase: phase, platforms: platforms}
		if f.Dir {
			own.folder = cmp.Or(strings.TrimLeft(f.Mode, "0"), "755") + " " + cmp.Or(s.Owner, "0:0")
		}
		out = append(out, own)
	}
	// The image's root says nothing, and neither does a part of a source.
	target := path.Join("/", s.Destination)
	if (s.Dir != nil || s.Archive != nil || s.Bucket != nil || s.Git != nil) && target != "/" && len(s.Include)+len(s.Exclude) == 0 {
		out = append(out, claim{at: at + ".destination", target: target, phase: phase, platforms: platforms, whole: true})
	}
	return out
}

// kept reports whether a source's globs let a path through.
func kept(s *Source, p string) bool {
	return (len(s.Include) == 0 || matchAny(s.Include, p)) && !matchAny(s.Exclude, p)
}

func replaced(globs []string, target string) bool {
	return matchAny(globs, strings.TrimPrefix(target, "/"))
}

func matchAny(globs []string, p string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { return doublestar.MatchUnvalidated(g, p) })
}

func share(a, b []string) bool {
	return slices.ContainsFunc(a, func(p string) bool { return slices.Contains(b, p) })
}
