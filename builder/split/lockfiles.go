package split

import (
	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

var lockTypes = map[builder.Type]byte{builder.Regular: 'f', builder.Dir: 'd', builder.Symlink: 'l', builder.Hardlink: 'h'}

// LockFiles are the lock's lines for the entries that the layer is there for.
func (l Layer) LockFiles() []lock.File {
	var out []lock.File
	for _, e := range l.Entries {
		if !l.Own[e.Path] {
			continue
		}
		f := lock.File{Layer: l.ID, Type: lockTypes[e.Type], Mode: e.Mode, Size: e.Size, SHA256: "-", Path: e.Path}
		if e.Type == builder.Regular {
			f.SHA256 = e.SHA256.Hex
		}
		out = append(out, f)
	}
	return out
}
