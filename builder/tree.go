package builder

import (
	"io"
	"iter"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Type is what an [Entry] is. The zero value is not a valid type.
type Type uint8

// The kinds of entry that a layer can hold. Device nodes, sockets and FIFOs are not among them:
// sources refuse them.
const (
	Dir Type = iota + 1
	Regular
	Symlink
	// Hardlink is a further name of a Regular entry in the same tree; Link is that entry's Path, which
	// sorts before the link's own.
	Hardlink
)

// Permission bits that entries carry unless the pipeline asks for others: what the umask or the artist's
// machine said is no part of an image.
const (
	ModeFile       = 0o644
	ModeExecutable = 0o755
	ModeDir        = 0o755
	ModeSymlink    = 0o777
)

// Entry is one path of a [Tree].
type Entry struct {
	// Path is relative to the image's root, slash-separated and clean: no leading slash, no "..", never "." or empty.
	Path string
	Type Type
	// Mode holds permission bits only (at most 0o7777), already normalised.
	Mode uint32
	// UID and GID are the numeric owner, 0 unless the pipeline says otherwise.
	UID, GID int
	// Size is the content's length in bytes; 0 unless Type is Regular.
	Size int64
	// Link is a symlink's target as written, or a hard link's target path; else empty.
	Link string
	// SHA256 is the content's digest when it is known: the zero Hash means "not hashed yet".
	// It is meaningful for Regular entries only.
	SHA256 v1.Hash
	// Content gives the bytes of a Regular entry and is nil for every other type.
	Content Content
}

// Content is the bytes of a regular file. It can be opened any number of times, from several goroutines.
type Content interface {
	// Open returns the bytes from the start. If they are found to differ from those that the tree was made
	// of (the file was edited, truncated or replaced since), Open, Read or Close returns an error that
	// matches [ErrChanged] and names the file.
	Open() (io.ReadCloser, error)
}

// Rememberer is a [Content] that would like to be told its digest once somebody has computed it, so that
// the next build need not read it again.
type Rememberer interface {
	Remember(sha256 v1.Hash)
}

// Tree is a set of entries sorted by Path in byte order, each path once. Every parent directory of every
// entry is in the tree itself.
type Tree struct {
	Entries []Entry
}

// Size is the number of content bytes in the tree.
func (t Tree) Size() int64 {
	var n int64
	for e := range t.Files() {
		n += e.Size
	}
	return n
}

// Files yields the regular files in path order; the pointers are into the tree.
func (t Tree) Files() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for i := range t.Entries {
			if t.Entries[i].Type == Regular && !yield(&t.Entries[i]) {
				return
			}
		}
	}
}
