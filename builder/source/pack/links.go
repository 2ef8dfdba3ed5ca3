package pack

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Link makes the names of one file that the archive had as hard links into links again: the first name stays a Regular
// entry, the others become Hardlink entries to it. Empty files stay as they are. The tree is one of the store's, and is
// changed.
func Link(t builder.Tree) builder.Tree {
	type place struct {
		key    v1.Hash
		offset int64
	}
	first := make(map[place]*builder.Entry, len(t.Entries))
	for i := range t.Entries {
		e := &t.Entries[i]
		c, ok := e.Content.(*content)
		if !ok || c.size == 0 {
			continue
		}
		at := place{c.key, c.offset}
		if file, ok := first[at]; ok {
			*e = builder.Entry{Path: e.Path, Type: builder.Hardlink, Mode: e.Mode, UID: e.UID, GID: e.GID, Link: file.Path}
		} else {
			first[at] = e
		}
	}
	return t
}
