package memo

import "time"

// Stat is what the file system says about a file without reading it. Two equal stats (Taken aside) of one path mean
// equal content, unless the file is racy: see [Memo.Remember].
type Stat struct {
	Size         int64
	Mtime, Ctime int64 // nanoseconds since 1970
	Inode, Dev   uint64
	// Taken is the moment of the stat call, or any moment before it, in nanoseconds since 1970.
	Taken int64
}

// Same reports whether both stats describe the same state of the same file, whenever they were taken.
func (s Stat) Same(other Stat) bool {
	s.Taken = other.Taken
	return s == other
}

// racyWindow is more than the coarsest time stamps of the file systems we meet (FAT: 2 s for mtime).
const racyWindow = int64(2 * time.Second)

// racy reports whether the file could still be written to without its stat changing, because its times are those of
// the moment it was looked at. A ctime from the future says that a clock was set back, and proves nothing.
func (s Stat) racy() bool {
	recentMtime := s.Mtime > s.Taken-racyWindow && s.Mtime < s.Taken+racyWindow
	return recentMtime || s.Ctime > s.Taken-racyWindow
}
