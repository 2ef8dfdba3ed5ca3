package bucket

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Bounds that file systems set.
const (
	maxPath = 4095
	maxName = 255
)

// place is where an object goes in the tree.
type place struct {
	path   string
	folder bool // an object that stands for a folder
}

// places turns keys, of which the prefix is cut off, into paths: each key is a path, and one that ends in a slash a folder.
// Keys that are no clean relative paths, or stand in each other's way, are Input errors.
func places(keys []string) ([]place, error) {
	out := make([]place, len(keys))
	files := map[string]bool{}
	for i, key := range keys {
		path, folder := strings.CutSuffix(key, "/")
		if why := unfit(path); why != "" {
			return nil, builder.Errorf(builder.Input, "rename the object, or exclude it by a longer prefix", "object %.200q %s", key, why)
		}
		out[i] = place{path, folder}
		if !folder {
			files[path] = true
		}
	}
	for _, p := range out {
		if p.folder && files[p.path] {
			return nil, conflict(p.path)
		}
		for dir := parent(p.path); dir != ""; dir = parent(dir) {
			if files[dir] {
				return nil, conflict(dir)
			}
		}
	}
	return out, nil
}

func conflict(path string) error {
	return builder.Errorf(builder.Input, "rename or delete one of them", "there is an object %.200q, and objects below it", path)
}

func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}

// unfit says why a path cannot be one of an image; "" if it can.
func unfit(path string) string {
	switch {
	case !utf8.ValidString(path):
		return "has a name that is not UTF-8"
	case len(path) > maxPath:
		return "has a name that is too long"
	case strings.ContainsFunc(path, unicode.IsControl):
		return "has control characters in its name"
	case strings.Contains(path, `\`):
		return "has a backslash in its name"
	}
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "":
			return "has an empty part in its name"
		case name == "." || name == "..":
			return "leads elsewhere"
		case len(name) > maxName:
			return "has a name that is too long"
		}
	}
	return ""
}
