package dir

import (
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pitcrew-dev/pitcrew/builder"
)

type excluder struct{ patterns []string }

func newExcluder(patterns []string) (excluder, error) {
	for _, p := range patterns {
		if !doublestar.ValidatePattern(p) {
			return excluder{}, builder.Errorf(builder.Config, "see the pipeline reference for the syntax of globs",
				"exclude %q: not a valid glob", p)
		}
	}
	return excluder{patterns}, nil
}

// matches reports whether path is excluded.
func (x excluder) matches(path string) bool {
	for _, p := range x.patterns {
		if doublestar.MatchUnvalidated(p, path) {
			return true
		}
	}
	return false
}

// covers reports whether path and all that could be below it is excluded.
func (x excluder) covers(path string) bool {
	for _, p := range x.patterns {
		if (p == "**" || strings.HasSuffix(p, "/**")) && doublestar.MatchUnvalidated(p, path) {
			return true
		}
	}
	return false
}
