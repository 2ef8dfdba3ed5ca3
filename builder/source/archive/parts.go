package archive

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// findParts returns the files that the globs match below root: glob by glob, and those of one glob in natural order.
func findParts(root string, globs []string) ([]string, error) {
	var all []string
	for _, glob := range globs {
		found, err := doublestar.FilepathGlob(filepath.Join(escape(root), filepath.FromSlash(glob)), doublestar.WithFilesOnly())
		if err != nil {
			return nil, builder.Errorf(builder.Config, "globs look like data.tar.zst.part-*", "archive parts %q: %w", glob, err)
		}
		if len(found) == 0 {
			return nil, builder.Errorf(builder.Input, "paths are relative to the pipeline file", "archive parts %q: no file matches", glob)
		}
		slices.SortFunc(found, natural)
		for _, name := range found {
			if slices.Contains(all, name) {
				return nil, builder.Errorf(builder.Config, "write the globs so that each part is in one", "archive part %q is in two of the globs", name)
			}
			all = append(all, name)
		}
	}
	return all, nil
}

// escape keeps a folder's name from being a pattern.
func escape(folder string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `{`, `\{`).Replace(folder)
}

// natural orders names so that runs of digits count as numbers; names that are equal so are ordered by bytes.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		m, n := digits(x), digits(y)
		if m == 0 || n == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		p, q := strings.TrimLeft(x[:m], "0"), strings.TrimLeft(y[:n], "0")
		if c := cmp.Or(cmp.Compare(len(p), len(q)), strings.Compare(p, q)); c != 0 {
			return c
		}
		x, y = x[m:], y[n:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// digits is the length of the number that s begins with.
func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
