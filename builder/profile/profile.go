// Package profile keeps of an asset tree what one kind of program opens: a dedicated server needs a small part of what a client
// shows. It is a pure function of the tree.
package profile

import (
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Full is the name of the profile that keeps everything. Every pipeline has it.
const Full = "full"

// Profile says what of a tree is kept. Globs are on paths of the image, without leading slash.
type Profile struct {
	Name string
	// Include are globs of files and links that are kept; none: all.
	Include []string
	// Exclude are globs of files and links that are not; they win over Include.
	Exclude []string
	// Placeholders are globs of files that are kept without content, whatever else says: somebody looks whether they are there.
	Placeholders []string
	// Prune drops folders in which nothing is left. Otherwise all stay.
	Prune bool
}

// empty is the content of placeholders.
var empty = v1.Hash{Algorithm: "sha256", Hex: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}

// fate is what becomes of an entry.
type fate int

const (
	kept fate = iota
	emptied
	dropped
)

func (p *Profile) fate(e *builder.Entry) fate {
	switch {
	case e.Type == builder.Dir:
		return kept
	case e.Type == builder.Regular && matches(p.Placeholders, e.Path):
		return emptied
	case matches(p.Exclude, e.Path), len(p.Include) > 0 && !matches(p.Include, e.Path):
		return dropped
	}
	return kept
}

func matches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { return doublestar.MatchUnvalidated(g, name) })
}

// Apply returns the part of the tree that the profile keeps. A hard link to a file that is not kept is not kept either.
func (p *Profile) Apply(tree builder.Tree) builder.Tree {
	var out builder.Tree
	targets := map[string]fate{}
	for i := range tree.Entries {
		e := tree.Entries[i]
		f := p.fate(&e)
		if target, ok := targets[e.Link]; e.Type == builder.Hardlink && ok && target != kept {
			f = dropped
		}
		if e.Type == builder.Regular {
			targets[e.Path] = f
		}
		switch f {
		case dropped:
			continue
		case emptied:
			e.Size, e.SHA256, e.Content = 0, empty, nothing{}
		case kept:
		}
		out.Entries = append(out.Entries, e)
	}
	if p.Prune {
		out.Entries = pruned(out.Entries)
	}
	return out
}

// pruned leaves out folders that have nothing but folders in them.
func pruned(entries []builder.Entry) []builder.Entry {
	needed := map[string]bool{}
	for _, e := range entries {
		if e.Type == builder.Dir {
			continue
		}
		for dir := path.Dir(e.Path); dir != "." && !needed[dir]; dir = path.Dir(dir) {
			needed[dir] = true
		}
	}
	return slices.DeleteFunc(entries, func(e builder.Entry) bool { return e.Type == builder.Dir && !needed[e.Path] })
}

// Groups tells entries of a profile's tree apart by the profiles that have them, too: layers of one group are the same in all
// images that have it. Groups that more profiles have sort first, and what only this profile's tree has sorts last.
func Groups(own *Profile, all []Profile, whole builder.Tree) func(e *builder.Entry) string {
	full := foldersOf(whole)
	return func(e *builder.Entry) string {
		if own.fate(e) == emptied || e.Type == builder.Dir && full[e.Path] {
			return "~"
		}
		var b strings.Builder
		for i := range all {
			if all[i].fate(e) == kept {
				b.WriteByte('0')
			} else {
				b.WriteByte('1')
			}
		}
		return b.String()
	}
}

// foldersOf are the folders with something in them.
func foldersOf(tree builder.Tree) map[string]bool {
	full := map[string]bool{}
	for i := range tree.Entries {
		full[path.Dir(tree.Entries[i].Path)] = true
	}
	return full
}
