package apt

import (
	"errors"
	"fmt"
	"io"

	"pault.ag/go/debian/dependency"
	"pault.ag/go/debian/version"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/debfile"
)

// maxStatus bounds a package's description in the store.
const maxStatus = 1 << 20

// replaces is what a package declares about files that it shares with others: its own are to be taken.
type replaces []dependency.Possibility

// of reports whether the files of p are to give way.
func (r replaces) of(p Package) bool {
	v, err := version.Parse(p.Version)
	for _, possibility := range r {
		if possibility.Name != p.Name {
			continue
		}
		if possibility.Version == nil || err == nil && possibility.Version.SatisfiedBy(v) {
			return true
		}
	}
	return false
}

// readReplaces reads the field from the package's description in its own tree.
func readReplaces(tree builder.Tree, p Package) (replaces, error) {
	for e := range tree.Files() {
		if e.Path != statusDir+"/"+p.Name {
			continue
		}
		text, err := read(e.Content)
		if err != nil {
			return nil, fmt.Errorf("read description of package %s: %w", p.file(), err)
		}
		c, err := debfile.ParseControl(text)
		if err != nil {
			return nil, fmt.Errorf("read description of package %s: %w", p.file(), err)
		}
		return parseReplaces(c.Field("Replaces"), p)
	}
	return nil, fmt.Errorf("package %s has no description in the store", p.file())
}

func parseReplaces(field string, p Package) (replaces, error) {
	if field == "" {
		return nil, nil
	}
	d, err := dependency.Parse(field)
	if err != nil {
		return nil, builder.Errorf(builder.Input, "", "package %s: field Replaces: %w", p.file(), err)
	}
	return d.GetAllPossibilities(), nil
}

func read(c builder.Content) (_ []byte, err error) {
	r, err := c.Open()
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names it
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(io.LimitReader(r, maxStatus+1))
}
