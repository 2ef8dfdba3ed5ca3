package apt

import (
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/inodes"
)

// Permissions that packages' files do not keep: nothing in an image should gain rights by being run.
const (
	setuid = 0o4000
	setgid = 0o2000
)

// owned is a node and the package that it is of.
type owned struct {
	inodes.Node
	by *unpacked
}

// merger collects the nodes of packages, which are added by name.
type merger struct {
	merged bool // usr
	nodes  map[string]owned
}

// merge makes one tree of packages.
func merge(packages []unpacked, usrMerged bool) (builder.Tree, error) {
	m := merger{merged: usrMerged, nodes: map[string]owned{}}
	for i := range packages {
		if err := m.add(&packages[i]); err != nil {
			return builder.Tree{}, err
		}
	}
	nodes := make([]inodes.Node, 0, len(m.nodes))
	for _, n := range m.nodes {
		nodes = append(nodes, n.Node)
	}
	return inodes.Join(nodes), nil
}

func (m *merger) add(p *unpacked) (err error) {
	nodes := p.nodes
	if m.merged {
		nodes, err = usrMerge(nodes)
		if err != nil {
			return fmt.Errorf("package %s: %w", p.file(), err)
		}
	}
	for _, n := range nodes {
		n.Mode &^= setuid | setgid
		if err := m.put(owned{n, p}); err != nil {
			return err
		}
	}
	return nil
}

// put adds a node, or decides between it and another of the same path.
func (m *merger) put(n owned) error {
	old, ok := m.nodes[n.Path]
	switch {
	case !ok:
		m.nodes[n.Path] = n
	case n.Type == builder.Dir && old.Type == builder.Dir:
		if ordinary(old.Entry) {
			m.nodes[n.Path] = n
		}
	case same(n.Entry, old.Entry):
	case m.merged && leadsToItself(old.Entry) || n.takesPlaceOf(old):
		m.nodes[n.Path] = n
	case m.merged && leadsToItself(n.Entry) || old.takesPlaceOf(n):
	default:
		return m.conflict(old, n)
	}
	return nil
}

// ordinary reports whether a folder has the permissions that folders have unless somebody cares.
func ordinary(e builder.Entry) bool { return e.Mode == builder.ModeDir && e.UID == 0 && e.GID == 0 }

// takesPlaceOf reports whether n's package declares that its files take the place of old's.
func (n owned) takesPlaceOf(old owned) bool {
	return n.Type != builder.Dir && old.Type != builder.Dir && n.by.replaces.of(old.by.Package)
}

// same reports whether two entries of one path cannot be told apart in an image.
func same(a, b builder.Entry) bool {
	if a.Type == builder.Regular && a.SHA256 == (v1.Hash{}) {
		return false
	}
	a.Content, b.Content = nil, nil
	return a == b
}

func (m *merger) conflict(old, n owned) error {
	hint := "exclude one of the packages, or choose versions that go together"
	if top := mergedDirs[n.Path]; top && !m.merged {
		hint = "set usrMerge, since one of the packages was made for a merged usr"
	}
	return builder.Errorf(builder.Input, hint, "packages %s and %s both have %q, and it is not the same",
		old.by.file(), n.by.file(), n.Path)
}
