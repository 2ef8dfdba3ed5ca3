package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Fault is one thing that is wrong with a pipeline file.
type Fault struct {
	File         string
	Line, Column int
	// Path is where in the document, such as phases.assets.sources[0].dir.
	Path    string
	Message string
	Hint    string
}

func (f Fault) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s: %s", f.File, f.Line, f.Column, f.Path, f.Message)
	if f.Hint != "" {
		s += "\n    " + f.Hint
	}
	return s
}

// Faults is every fault that was found, in the file's order.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
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
