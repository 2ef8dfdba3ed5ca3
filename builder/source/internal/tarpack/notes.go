package tarpack

import (
	"archive/tar"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// notesName is where the notes are. In layers, names with this prefix are reserved and mean nothing.
const notesName = ".wh..wh.pitcrew"

// maxID is the largest owner that Linux knows.
const maxID = 1<<32 - 2

// notes are what a pack does not keep.
type notes struct {
	// Attributes are those of paths for which they are not what a pack says.
	Attributes map[string]attributes
	// Links are hard links: further names of files, each with the first.
	Links map[string]string
	// Implied are folders that the archive does not list.
	Implied []string
}

type attributes struct {
	Mode     uint32
	UID, GID int
}

// collector makes notes while an archive is read.
type collector struct {
	notes
	listed map[string]bool // folders
}

func newCollector() *collector {
	return &collector{
		notes:  notes{Attributes: map[string]attributes{}, Links: map[string]string{}},
		listed: map[string]bool{},
	}
}

// note takes down an entry. Of several with one path the last counts.
func (c *collector) note(h *tar.Header) error {
	name := clean(h.Name)
	if name == notesName || strings.HasPrefix(name, notesName+"/") {
		return builder.Errorf(builder.Input, "make the archive anew without it", "entry %q: the name is reserved", h.Name)
	}
	if h.Uid < 0 || h.Uid > maxID || h.Gid < 0 || h.Gid > maxID {
		return builder.Errorf(builder.Input, "make the archive anew with numeric owners that Linux knows",
			"entry %.80q: owner %d:%d cannot be", h.Name, h.Uid, h.Gid)
	}
	c.forget(name)
	a := attributes{Mode: uint32(h.Mode & 0o7777), UID: h.Uid, GID: h.Gid} //nolint:gosec // masked
	switch h.Typeflag {
	case tar.TypeLink:
		c.noteLink(name, clean(h.Linkname))
		return nil
	case tar.TypeDir:
		c.listed[name] = true
	case tar.TypeSymlink:
		a.Mode = builder.ModeSymlink
	}
	if !kept(h.Typeflag, a) {
		c.Attributes[name] = a
	}
	return nil
}

func (c *collector) forget(name string) {
	delete(c.listed, name)
	delete(c.Attributes, name)
	delete(c.Links, name)
}

func (c *collector) noteLink(name, target string) {
	if a, ok := c.Attributes[target]; ok {
		c.Attributes[name] = a
	}
	if first, ok := c.Links[target]; ok {
		target = first
	}
	if target != name {
		c.Links[name] = target
	}
}

// kept reports whether a pack says the same of itself.
func kept(typeflag byte, a attributes) bool {
	if a.UID != 0 || a.GID != 0 {
		return false
	}
	switch typeflag {
	case tar.TypeDir:
		return a.Mode == builder.ModeDir
	case tar.TypeSymlink:
		return true
	default:
		return a.Mode == builder.ModeFile || a.Mode == builder.ModeExecutable
	}
}

// finish lists the folders that are there for what is in them only.
func (c *collector) finish(paths map[string]bool) notes {
	implied := map[string]bool{}
	for name := range paths {
		for dir := path.Dir(name); dir != "." && !c.listed[dir] && !implied[dir]; dir = path.Dir(dir) {
			implied[dir] = true
		}
	}
	c.Implied = slices.Sorted(maps.Keys(implied))
	return c.notes
}

// clean is a name as the pack will have it.
func clean(name string) string { return strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/") }
