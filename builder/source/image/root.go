package image

import (
	"path"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/inodes"
)

// maxLinks is how many symlinks are followed on the way to a folder, as in Linux.
const maxLinks = 40

// root is the content of an image's root folder while layers are laid over each other.
type root struct {
	nodes    map[string]inodes.Node
	children map[string]map[string]bool // of each folder: the paths in it
}

func (r *root) put(n inodes.Node) {
	r.nodes[n.Path] = n
	dir := path.Dir(n.Path)
	if r.children[dir] == nil {
		r.children[dir] = map[string]bool{}
	}
	r.children[dir][n.Path] = true
}

// remove takes a path away with all below it.
func (r *root) remove(name string) {
	r.removeChildren(name)
	delete(r.nodes, name)
	delete(r.children[path.Dir(name)], name)
}

func (r *root) removeChildren(dir string) {
	for name := range r.children[dir] {
		r.remove(name)
	}
	delete(r.children, dir)
}

// folder follows symlinks, never out of the root, to the folder that name leads to. The root itself is ".".
func (r *root) folder(name string) (string, bool) {
	left, at := strings.Split(name, "/"), "."
	for links := 0; len(left) > 0; {
		part := left[0]
		left = left[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		switch n := r.nodes[next]; n.Type {
		case builder.Dir:
			at = next
		case builder.Symlink:
			if links++; links > maxLinks {
				return "", false
			}
			if path.IsAbs(n.Link) {
				at = "."
			}
			left = append(strings.Split(n.Link, "/"), left...)
		default:
			return "", false
		}
	}
	return at, true
}
