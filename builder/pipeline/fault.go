package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// maxFaults bounds how many faults of one file are collected.
const maxFaults = 100

// Fault is one thing that is wrong with a pipeline file.
type Fault struct {
	File         string
	Line, Column int
	// Path is where in the document, such as phases.assets.sources[0].dir.
	Path    string
	Message string
	// Hint is the way out; it may be empty.
	Hint string
}

func (f Fault) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s: %s", f.File, f.Line, f.Column, f.Path, f.Message)
	if f.Hint != "" {
		s += "\n    " + f.Hint
	}
	return s
}

// Faults are the faults that were found, in the file's order: all of them, or the first hundred that were met.
type Faults []Fault //nolint:errname // a list of faults that is an error, not one error

func (f Faults) Error() string {
	lines := make([]string, 0, len(f)+1)
	for _, one := range f {
		lines = append(lines, one.String())
	}
	if len(f) >= maxFaults {
		lines = append(lines, "there may be more: mend these first")
	}
	return strings.Join(lines, "\n")
}

// err is nil for no faults, else a Config error.
func (f Faults) err() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &builder.Error{Kind: builder.Config, Err: slices.Compact(f)}
}
