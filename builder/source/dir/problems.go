package dir

import (
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// maxNamed is how many paths of a kind a message names.
const maxNamed = 20

// problems is what a walk came across that cannot be part of an image.
type problems struct {
	special    []node // device nodes, sockets, FIFOs
	absolute   []node // symlinks
	unreadable []string
	long       []string
}

// err is one error about all problems, or nil.
func (p *problems) err(root string) error {
	var faults, hints []string
	add := func(fault, hint string, names []string) {
		if len(names) > 0 {
			faults = append(faults, fault+": "+enumerate(names))
			hints = append(hints, hint)
		}
	}
	add("neither files, folders nor symlinks", "remove or exclude what is no file", describe(p.special, specialType))
	add("symlinks with an absolute target", "make the links relative, or set links: keep", describe(p.absolute, linkTarget))
	add("unreadable", "make everything readable for the user who builds, or exclude it", quote(p.unreadable))
	add("paths too long", "shorten or exclude them", quote(p.long))
	if len(faults) == 0 {
		return nil
	}
	return builder.Errorf(builder.Input, strings.Join(hints, "; "), "read folder %q: %s", root, strings.Join(faults, "; "))
}

// enumerate joins the first names in order, and counts the rest.
func enumerate(names []string) string {
	slices.Sort(names)
	if more := len(names) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), more)
	}
	return strings.Join(names, ", ")
}

func describe(nodes []node, detail func(*node) string) []string {
	var names []string
	for i := range nodes {
		names = append(names, fmt.Sprintf("%q (%s)", nodes[i].path, detail(&nodes[i])))
	}
	return names
}

func quote(paths []string) []string {
	var names []string
	for _, p := range paths {
		names = append(names, fmt.Sprintf("%.200q", p))
	}
	return names
}

func specialType(n *node) string {
	switch n.stat.Mode & syscall.S_IFMT {
	case syscall.S_IFIFO:
		return "FIFO"
	case syscall.S_IFSOCK:
		return "socket"
	case syscall.S_IFBLK, syscall.S_IFCHR:
		return "device"
	default:
		return "unknown type"
	}
}

func linkTarget(n *node) string { return fmt.Sprintf("to %q", n.link) }
