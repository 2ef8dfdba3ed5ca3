// Package inodes takes trees apart into entries that stand for themselves, and puts such entries together to a tree
// again. In between, files can be moved, replaced and removed without a hard link losing what it links to.
package inodes

import (
	"cmp"
	"path"
	"slices"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Node is an entry that needs no other. Its type is never Hardlink: the names of one file are Regular nodes with the
// same Inode.
type Node struct {
	builder.Entry
	// Inode is the same for all names of a file that has several, else nil.
	Inode *Inode
}

// Inode is known by its address.
type Inode struct{ _ byte }

// Split returns the tree's entries as nodes, in the tree's order.
func Split(tree builder.Tree) []Node {
	nodes := make([]Node, len(tree.Entries))
	at := make(map[string]int, len(tree.Entries))
	for i, e := range tree.Entries {
		nodes[i], at[e.Path] = Node{Entry: e}, i
		if e.Type != builder.Hardlink {
			continue
		}
		file := &nodes[at[e.Link]] // sorts before e
		if file.Inode == nil {
			file.Inode = new(Inode)
		}
		nodes[i] = *file
		nodes[i].Path = e.Path
	}
	return nodes
}

// Join makes a tree of nodes with different paths. Directories above them that are missing are added with the usual
// mode. It takes over the slice.
func Join(nodes []Node) builder.Tree {
	nodes = addParents(nodes)
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Path, b.Path) })
	first := map[*Inode]string{}
	tree := builder.Tree{Entries: make([]builder.Entry, len(nodes))}
	for i, n := range nodes {
		e := &tree.Entries[i]
		*e = n.Entry
		if n.Inode == nil {
			continue
		}
		if file, ok := first[n.Inode]; ok {
			*e = builder.Entry{Path: n.Path, Type: builder.Hardlink, Mode: n.Mode, UID: n.UID, GID: n.GID, Link: file}
		} else {
			first[n.Inode] = n.Path
		}
	}
	return tree
}

func addParents(nodes []Node) []Node {
	there := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		there[n.Path] = true
	}
	for i := range nodes { // not those added below
		for dir := path.Dir(nodes[i].Path); dir != "." && !there[dir]; dir = path.Dir(dir) {
			there[dir] = true
			nodes = append(nodes, Node{Entry: builder.Entry{Path: dir, Type: builder.Dir, Mode: builder.ModeDir}})
		}
	}
	return nodes
}
