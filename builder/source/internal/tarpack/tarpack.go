package tarpack

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/inodes"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// maxNotes bounds the notes of one archive: two million entries, each with a note of its own, take less.
const maxNotes = 1 << 30

// Add adds a tar archive's entries. Symlinks may be absolute. What cannot be in an image, and names that lead out of the
// archive, are errors of kind Input.
func Add(ctx context.Context, w *pack.Writer, r io.Reader) error {
	c, paths := newCollector(), map[string]bool{}
	err := w.AddTar(ctx, r, pack.TarOptions{
		KeepAbsoluteLinks: true,
		OnEntry: func(h *tar.Header) (skip bool, err error) {
			if h.Typeflag == tar.TypeXGlobalHeader {
				return true, nil
			}
			paths[clean(h.Name)] = true
			return false, c.note(h)
		},
	})
	if err != nil {
		return err //nolint:wrapcheck // names the entry
	}
	return write(w, c.finish(paths))
}

func write(w *pack.Writer, n notes) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(n); err != nil {
		return fmt.Errorf("write notes of archive: %w", err)
	}
	e := builder.Entry{Path: notesName, Type: builder.Regular, Mode: builder.ModeFile, Size: int64(b.Len())}
	if err := w.Add(e, &b); err != nil {
		return fmt.Errorf("write notes of archive: %w", err)
	}
	return nil
}

// Contents are an archive's entries.
type Contents struct {
	// Nodes are in the order of their paths.
	Nodes []inodes.Node
	// Implied are the folders among them that the archive does not list.
	Implied map[string]bool
}

// Read returns what [Add] was given, from the pack's tree.
func Read(tree builder.Tree) (Contents, error) {
	n, err := readNotes(tree)
	if err != nil {
		return Contents{}, fmt.Errorf("read notes of archive in the cache: %w", err)
	}
	nodes := slices.DeleteFunc(inodes.Split(tree), func(n inodes.Node) bool { return n.Path == notesName })
	at := make(map[string]int, len(nodes))
	for i := range nodes {
		at[nodes[i].Path] = i
		if a, ok := n.Attributes[nodes[i].Path]; ok {
			nodes[i].Mode, nodes[i].UID, nodes[i].GID = a.Mode, a.UID, a.GID
		}
	}
	for name, first := range n.Links {
		link(nodes, at, name, first)
	}
	out := Contents{Nodes: nodes, Implied: map[string]bool{}}
	for _, dir := range n.Implied {
		out.Implied[dir] = true
	}
	return out, nil
}

// link makes two nodes names of one file, unless one of them was replaced later in the archive.
func link(nodes []inodes.Node, at map[string]int, name, first string) {
	i, ok := at[name]
	j, ok2 := at[first]
	if !ok || !ok2 || nodes[i].SHA256 != nodes[j].SHA256 || nodes[i].SHA256 == (v1.Hash{}) || nodes[i].Mode != nodes[j].Mode ||
		nodes[i].UID != nodes[j].UID || nodes[i].GID != nodes[j].GID {
		return
	}
	if nodes[j].Inode == nil {
		nodes[j].Inode = new(inodes.Inode)
	}
	nodes[i].Inode = nodes[j].Inode
}

func readNotes(tree builder.Tree) (n notes, err error) {
	i, ok := slices.BinarySearchFunc(tree.Entries, notesName, func(e builder.Entry, name string) int {
		return strings.Compare(e.Path, name)
	})
	if !ok || tree.Entries[i].Content == nil {
		return n, errors.New("there are none")
	}
	r, err := tree.Entries[i].Content.Open()
	if err != nil {
		return n, err //nolint:wrapcheck // names the file
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := gob.NewDecoder(io.LimitReader(r, maxNotes)).Decode(&n); err != nil {
		return n, fmt.Errorf("decode: %w", err)
	}
	return n, nil
}
