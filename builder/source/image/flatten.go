package image

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/inodes"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/tarpack"
)

// Whiteouts as the OCI image specification has them.
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	reservedPrefix = ".wh..wh." // what aufs kept for itself: .wh..wh.plnk, .wh..wh.aufs
)

// flatten lays layers over each other, the bottom one first.
func flatten(layers []tarpack.Contents) builder.Tree {
	r := root{nodes: map[string]inodes.Node{}, children: map[string]map[string]bool{}}
	for _, l := range layers {
		r.removeWhitedOut(l)
		r.addAll(l)
	}
	return inodes.Join(slices.Collect(maps.Values(r.nodes)))
}

// removeWhitedOut removes what a layer hides of those below it. What the layer itself has is added after that, so the
// order of entries in it does not matter.
func (r *root) removeWhitedOut(l tarpack.Contents) {
	places := placing{root: r, implied: l.Implied}
	for _, n := range l.Nodes {
		place, ok := places.of(n)
		if !ok {
			continue
		}
		dir, name := path.Dir(place), path.Base(place)
		hidden, isWhiteout := strings.CutPrefix(name, whiteoutPrefix)
		switch {
		case name == opaqueName:
			r.removeChildren(dir)
		case strings.HasPrefix(name, reservedPrefix) || hidden == "" || hidden == "." || hidden == "..":
		case isWhiteout:
			r.remove(path.Join(dir, hidden))
		}
	}
}

func (r *root) addAll(l tarpack.Contents) {
	places := placing{root: r, implied: l.Implied}
	for _, n := range l.Nodes {
		place, ok := places.of(n)
		if !ok || isMark(place) {
			continue
		}
		old, there := r.nodes[place]
		bothFolders := there && old.Type == builder.Dir && n.Type == builder.Dir
		if bothFolders && l.Implied[n.Path] {
			continue // the layer says nothing about it
		}
		if there && !bothFolders {
			r.remove(place)
		}
		n.Path = place
		r.put(n)
	}
}

// isMark reports whether a path is a whiteout, or in a folder that is.
func isMark(name string) bool {
	return strings.HasPrefix(name, whiteoutPrefix) || strings.Contains(name, "/"+whiteoutPrefix)
}

// placing finds out where the entries of a layer come to lie. That is their path, but for one case: the layer has a
// file in a folder that it does not list, and in the layers below the folder is a symlink to another. Then the file
// goes there, as it does when container engines unpack the layer.
type placing struct {
	root    *root
	implied map[string]bool
	moved   map[string]string
}

// of is where n goes. It is called for all nodes in the order of their paths. ok is false for a folder that is not to
// be made since a link to another stays in its place.
func (p *placing) of(n inodes.Node) (place string, ok bool) {
	place = n.Path
	if dir, moved := p.moved[path.Dir(n.Path)]; moved {
		place = path.Join(dir, path.Base(n.Path))
	}
	target := place
	if p.implied[n.Path] && p.root.nodes[place].Type == builder.Symlink {
		if folder, found := p.root.folder(place); found {
			target = folder
		}
	}
	if n.Type == builder.Dir && target != n.Path {
		if p.moved == nil {
			p.moved = map[string]string{}
		}
		p.moved[n.Path] = target
	}
	return place, target == place
}
