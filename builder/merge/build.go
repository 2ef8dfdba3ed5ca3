package merge

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Part is one source's tree and where it goes.
type Part struct {
	Tree builder.Tree
	// Include and Exclude are doublestar globs on the source's own paths; no Include means everything. A
	// directory stays if it matches, or if something in it stays.
	Include, Exclude []string
	// Destination is the folder in the image that the tree's root becomes; "" and "/" are the image's root.
	Destination string
	// UID and GID replace the entries' owner when set.
	UID, GID *int
	// Origin names the source in messages.
	Origin string
}

// Build merges the parts. Parent directories that no part lists are added as 0755, owned by 0:0. It fails with one Input
// error that lists every path written twice, and every symlink that leads out of the image.
func Build(parts []Part) (builder.Tree, error) {
	b := &merged{entries: map[string]placed{}}
	for _, p := range parts {
		if err := b.add(p); err != nil {
			return builder.Tree{}, err
		}
	}
	b.addParents()
	if len(b.faults) > 0 {
		return builder.Tree{}, faultsError(b.faults)
	}
	var t builder.Tree
	for _, name := range slices.Sorted(maps.Keys(b.entries)) {
		t.Entries = append(t.Entries, b.entries[name].Entry)
	}
	return t, nil
}

type placed struct {
	builder.Entry
	origin string
}

type merged struct {
	entries map[string]placed
	faults  []string
}

func (b *merged) add(p Part) error {
	kept, err := selected(p)
	if err != nil {
		return err
	}
	byPath := map[string]*builder.Entry{}
	for i := range p.Tree.Entries {
		byPath[p.Tree.Entries[i].Path] = &p.Tree.Entries[i]
	}
	for _, e := range kept.entries {
		out := *e
		if e.Type == builder.Hardlink && !kept.has[e.Link] {
			out = materialised(*e, byPath[e.Link])
		}
		b.put(p, out)
	}
	return nil
}

// materialised turns a hard link whose target is left out into a file of its own.
func materialised(e builder.Entry, target *builder.Entry) builder.Entry {
	e.Type, e.Link = builder.Regular, ""
	if target != nil {
		e.Size, e.SHA256, e.Content = target.Size, target.SHA256, target.Content
	}
	return e
}

func (b *merged) put(p Part, e builder.Entry) {
	dest := strings.Trim(path.Clean("/"+p.Destination), "/")
	e.Path = path.Join(dest, e.Path)
	if e.Type == builder.Hardlink {
		e.Link = path.Join(dest, e.Link)
	}
	if p.UID != nil {
		e.UID = *p.UID
	}
	if p.GID != nil {
		e.GID = *p.GID
	}
	if e.Type == builder.Symlink && climbsOut(e) {
		b.faults = append(b.faults, fmt.Sprintf("%s: symlink to %q leads out of the image (%s)", e.Path, e.Link, p.Origin))
		return
	}
	have, ok := b.entries[e.Path]
	if ok && !sameDir(have.Entry, e) {
		b.faults = append(b.faults, fmt.Sprintf("%s: written by %s and by %s", e.Path, have.origin, p.Origin))
		return
	}
	if !ok {
		b.entries[e.Path] = placed{e, p.Origin}
	}
}

func sameDir(a, b builder.Entry) bool {
	return a.Type == builder.Dir && b.Type == builder.Dir && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID
}

// climbsOut reports whether a relative target has more ".." than there are folders above the link.
func climbsOut(e builder.Entry) bool {
	if path.IsAbs(e.Link) {
		return false // absolute targets start at the image's root
	}
	target := path.Join(path.Dir(e.Path), e.Link)
	return target == ".." || strings.HasPrefix(target, "../")
}

func (b *merged) addParents() {
	for _, name := range slices.Sorted(maps.Keys(b.entries)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			parent, ok := b.entries[dir]
			if ok && parent.Type != builder.Dir {
				b.faults = append(b.faults, fmt.Sprintf("%s: %s makes it a folder, %s makes it something else", dir, b.entries[name].origin, parent.origin))
			}
			if ok {
				break
			}
			b.entries[dir] = placed{builder.Entry{Path: dir, Type: builder.Dir, Mode: builder.ModeDir}, b.entries[name].origin}
		}
	}
}

type selection struct {
	entries []*builder.Entry
	has     map[string]bool
}

func selected(p Part) (selection, error) {
	for _, glob := range slices.Concat(p.Include, p.Exclude) {
		if !doublestar.ValidatePattern(glob) {
			return selection{}, builder.Errorf(builder.Config, "see docs/pipeline.md for the syntax", "%s: glob %q is not valid", p.Origin, glob)
		}
	}
	s := selection{has: map[string]bool{}}
	for i := range p.Tree.Entries {
		e := &p.Tree.Entries[i]
		if (len(p.Include) == 0 || matchAny(p.Include, e.Path)) && !matchAny(p.Exclude, e.Path) {
			s.entries = append(s.entries, e)
			s.has[e.Path] = true
		}
	}
	return s, nil
}

func matchAny(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { return doublestar.MatchUnvalidated(g, name) })
}

// maxListed bounds how many paths one message lists.
const maxListed = 20

func faultsError(faults []string) error {
	slices.Sort(faults)
	faults = slices.Compact(faults)
	list := faults[:min(len(faults), maxListed)]
	if more := len(faults) - len(list); more > 0 {
		list = append(slices.Clip(list), fmt.Sprintf("… and %d more", more))
	}
	return builder.Errorf(builder.Input, "exclude the path in one of them, or list it under the later phase's replaces",
		"%s", strings.Join(list, "\n"))
}
