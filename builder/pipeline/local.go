package pipeline

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// wanted is what a local path must be.
type wanted string

const (
	folder  wanted = "folder"
	regular wanted = "file"
)

// local checks a path beside the pipeline, and, with a folder to look in, that it is there.
func (c *sourceChecker) local(at, name string, want wanted) {
	if !c.present(at, name) {
		return
	}
	for _, expanded := range c.expansions(at, name) {
		c.find(at, expanded, want)
	}
}

// from checks a path that must not lead out of the pipeline's folder.
func (c *sourceChecker) from(at, name string) {
	if name != "" && !fs.ValidPath(path.Clean(name)) {
		c.fault(at, "put the file into the pipeline's folder", "%s is outside the pipeline's folder", quote(name))
		return
	}
	c.local(at, name, regular)
}

// parts checks a glob of a split archive's pieces, and that it finds some.
func (c *sourceChecker) parts(at, glob string) {
	if !c.present(at, glob) {
		return
	}
	for _, expanded := range c.expansions(at, glob) {
		clean := path.Clean(expanded)
		if path.IsAbs(expanded) || !doublestar.ValidatePattern(clean) {
			c.fault(at, "globs are relative: data.tar.zst.part-*", "%s is not a valid glob", quote(expanded))
			continue
		}
		if c.dir == nil || !fs.ValidPath(clean) {
			continue
		}
		found, err := doublestar.Glob(c.dir, clean, doublestar.WithFilesOnly())
		switch {
		case err != nil:
			c.fault(at, "", "cannot look for %s: %v", quote(expanded), err)
		case len(found) == 0:
			c.fault(at, "paths are relative to the pipeline file", "no file matches %s", quote(expanded))
		}
	}
}

// present notes a required path that is missing or empty.
func (c *sourceChecker) present(at, name string) bool {
	switch {
	case !c.written(at):
		c.lacks(at, "paths are relative to the pipeline file", "is missing")
	case name == "":
		c.fault(at, "paths are relative to the pipeline file", "is empty")
	}
	return name != ""
}

// find looks for a path. One that is absolute or leads out of the pipeline's folder is found out when it is read.
func (c *sourceChecker) find(at, name string, want wanted) {
	clean := path.Clean(name)
	if c.dir == nil || !fs.ValidPath(clean) {
		return
	}
	info, err := fs.Stat(c.dir, clean)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.fault(at, "paths are relative to the pipeline file", "no such %s %s", want, quote(name))
	case err != nil:
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err // the path is in the message already
		}
		c.fault(at, "paths are relative to the pipeline file", "cannot look for %s: %v", quote(name), err)
	case info.IsDir() && want != folder:
		c.fault(at, "name a file in it", "%s is a folder, not a file", quote(name))
	case !info.IsDir() && want == folder:
		c.fault(at, "for one file, write a files source with from; for an archive, an archive source", "%s is a file, not a folder", quote(name))
	case want == regular && !info.Mode().IsRegular():
		c.fault(at, "name a regular file", "%s is not a regular file", quote(name))
	}
}

// image checks a reference to an image that exists already.
func (c *sourceChecker) image(at, ref string) {
	const hint = "with registry, and tag or digest: docker.io/library/debian:bookworm-slim"
	switch {
	case !c.written(at):
		c.lacks(at, hint, "is missing")
		return
	case ref == "":
		c.fault(at, hint, "is empty")
		return
	}
	for _, expanded := range c.expansions(at, ref) {
		if _, err := name.ParseReference(expanded, name.StrictValidation); err != nil {
			c.fault(at, hint, "%s is not a full reference", quote(expanded))
		}
	}
}

// expansions are the values that a text with variables has on the source's platforms.
func (c *sourceChecker) expansions(at, text string) []string {
	used, unknown := variablesIn(text)
	switch {
	case unknown != "":
		c.fault(at, "use "+strings.Join(variableNames(), ", "), "%s is not a variable", quote(unknown))
		return nil
	case !used:
		return []string{text}
	case c.phase == builder.Assets:
		c.fault(at, "move what depends on the platform to base or code", "assets are the same for every platform")
		return nil
	}
	platforms := c.source.Platforms
	if len(platforms) == 0 {
		platforms = c.all
	}
	var out []string
	for _, p := range platforms {
		if platformSyntax.pattern.MatchString(p) {
			out = append(out, expand(text, p))
		}
	}
	return out
}
