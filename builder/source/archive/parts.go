package archive

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/internal/natural"
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
		slices.SortFunc(found, natural.Compare)
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
