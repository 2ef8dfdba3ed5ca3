package apt

import (
	"path"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/inodes"
)

// mergedDirs are the folders of the root that are links into usr on a system of today (dpkg's own list, usrmerge).
var mergedDirs = map[string]bool{
	"bin": true, "sbin": true, "lib": true, "lib32": true, "lib64": true, "libo32": true, "libx32": true,
}

// usrMerge moves a package's nodes below usr. The folder itself, or the link that a package has in its place, becomes
// the link. It reports a node that cannot be both.
func usrMerge(nodes []inodes.Node) ([]inodes.Node, error) {
	links := map[string]bool{}
	out := make([]inodes.Node, 0, len(nodes))
	for _, n := range nodes {
		top, rest, below := strings.Cut(n.Path, "/")
		if !mergedDirs[top] {
			out = append(out, n)
			continue
		}
		if !links[top] {
			links[top] = true
			out = append(out, link(top), inodes.Node{Entry: builder.Entry{Path: "usr", Type: builder.Dir, Mode: builder.ModeDir}})
		}
		switch {
		case below:
			out = append(out, moved(n, top, rest))
		case n.Type == builder.Dir:
			n.Path = "usr/" + top
			out = append(out, n)
		case n.Type == builder.Symlink && resolve(top, n.Link) == "usr/"+top:
		default:
			return nil, builder.Errorf(builder.Input, "build without usrMerge", "%q is not a folder and cannot be moved to usr", top)
		}
	}
	return out, nil
}

func link(top string) inodes.Node {
	return inodes.Node{Entry: builder.Entry{Path: top, Type: builder.Symlink, Mode: builder.ModeSymlink, Link: "usr/" + top}}
}

// moved is a node one folder deeper. A relative link that leads out of the merged folders gets longer.
func moved(n inodes.Node, top, rest string) inodes.Node {
	if n.Type == builder.Symlink && !path.IsAbs(n.Link) {
		first, _, _ := strings.Cut(resolve(n.Path, n.Link), "/")
		if !mergedDirs[first] {
			n.Link = "../" + n.Link
		}
	}
	n.Path = "usr/" + top + "/" + rest
	return n
}

// resolve is the path that a link at name leads to, as far as that can be told without looking at other links.
func resolve(name, target string) string {
	if !path.IsAbs(target) {
		target = path.Join("/", path.Dir(name), target)
	}
	return strings.TrimPrefix(path.Clean(target), "/")
}

// mergedPath is where a path leads in a merged tree.
func mergedPath(name string) string {
	if top, _, _ := strings.Cut(name, "/"); mergedDirs[top] {
		return "usr/" + name
	}
	return name
}

// leadsToItself reports whether a link that was made for a tree that is not merged is at its own target now, such as
// usr/bin/x to /bin/x.
func leadsToItself(e builder.Entry) bool {
	return e.Type == builder.Symlink && mergedPath(resolve(e.Path, e.Link)) == e.Path
}
