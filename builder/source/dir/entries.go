package dir

import (
	"syscall"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/pinned"
)

// inode identifies a file independent of its names.
type inode struct{ dev, number uint64 }

// entries turns what the walk found, in path order, into tree entries, with the digests that the memo knows.
func (s *Source) entries(found []node) []builder.Entry {
	entries := make([]builder.Entry, len(found))
	contents := make([]pinned.File, len(found)) // one allocation; what belongs to no file costs little
	first := map[inode]string{}
	for i := range found {
		n, e := &found[i], &entries[i]
		e.Path = n.path
		switch n.stat.Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
			e.Type, e.Mode = builder.Dir, builder.ModeDir
		case syscall.S_IFLNK:
			e.Type, e.Mode, e.Link = builder.Symlink, builder.ModeSymlink, n.link
		default:
			e.Mode = fileMode(n.stat.Mode)
			if e.Link = firstName(first, n); e.Link != "" {
				e.Type = builder.Hardlink
				continue
			}
			contents[i] = pinned.File{Root: s.root, Name: n.path, Stat: n.stat.Stat, Memo: s.options.Memo}
			e.Type, e.Size, e.Content = builder.Regular, n.stat.Size, &contents[i]
			e.SHA256, _ = s.options.Memo.Lookup(n.path, n.stat.Stat)
		}
	}
	return entries
}

// firstName is the earlier path of the same file, or empty if n is its first or only name.
func firstName(first map[inode]string, n *node) string {
	if n.stat.Nlink < 2 {
		return ""
	}
	id := inode{n.stat.Dev, n.stat.Inode}
	if name, ok := first[id]; ok {
		return name
	}
	first[id] = n.path
	return ""
}

// fileMode keeps of a file's permissions whether anybody may execute it.
func fileMode(mode uint32) uint32 {
	if mode&0o111 != 0 {
		return builder.ModeExecutable
	}
	return builder.ModeFile
}
