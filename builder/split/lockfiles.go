package split

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

var lockTypes = map[builder.Type]byte{builder.Regular: 'f', builder.Dir: 'd', builder.Symlink: 'l', builder.Hardlink: 'h'}

// line is the lock's line for an entry in a layer.
func (p *planner) line(e *builder.Entry, layer int) lock.File {
	f := lock.File{
		Layer: layer, Type: lockTypes[e.Type], Mode: e.Mode, UID: e.UID, GID: e.GID, Size: e.Size, SHA256: "-", Path: e.Path,
	}
	switch e.Type {
	case builder.Dir:
	case builder.Regular:
		f.SHA256 = e.SHA256.Hex
	case builder.Symlink:
		f.SHA256 = hexOf(e.Link)
	case builder.Hardlink:
		f.SHA256 = hexOf(e.Link + "\x00" + p.digests()[e.Link])
	}
	return f
}

func hexOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// digests are the targets of hard links with what they hold.
func (p *planner) digests() map[string]string {
	if p.targets != nil {
		return p.targets
	}
	p.targets = map[string]string{}
	for _, e := range p.tree.Entries {
		if e.Type == builder.Hardlink {
			p.targets[e.Link] = ""
		}
	}
	for e := range p.tree.Files() {
		if _, ok := p.targets[e.Path]; ok {
			p.targets[e.Path] = e.SHA256.Hex
		}
	}
	return p.targets
}

// LockFiles are the lock's lines for layer i. All files must be hashed.
func (r Result) LockFiles(i int) []lock.File {
	l := r.Layers[i]
	if l.Files == nil {
		l.Files = r.planner.lines(l)
	}
	return l.Files
}

// lines are a new layer's lines: folders above its files only if they are not as every folder is.
func (p *planner) lines(l Layer) []lock.File {
	var out []lock.File
	for _, e := range l.Entries {
		f := p.line(e, l.ID)
		if _, own := p.layerOf[e.Path]; own || e.Type != builder.Dir || valueOf(f) != folder {
			out = append(out, f)
		}
	}
	return out
}

func byPath(a, b lock.File) int { return strings.Compare(a.Path, b.Path) }
