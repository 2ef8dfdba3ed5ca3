package pack

import (
	"path"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

const hostile = "the archive is damaged or hostile: make it anew"

// refused is the error about an entry that an image cannot hold.
func refused(name, hint, format string, args ...any) error {
	return builder.Errorf(builder.Input, hint, "entry %.80q: "+format, append([]any{name}, args...)...)
}

// checkPath holds what is promised of [builder.Entry.Path].
func checkPath(p string) error {
	clean := p != "" && p == path.Clean(p) && p != "." && p != ".." && !path.IsAbs(p) && !strings.HasPrefix(p, "../")
	if !clean || len(p) > maxPath || strings.ContainsRune(p, 0) {
		return refused(p, hostile, "not a clean path inside the archive")
	}
	return nil
}

// cleanName makes an entry's name relative and clean; the archive's root is "". Names that lead out are errors.
func cleanName(name string) (string, error) {
	switch {
	case strings.ContainsRune(name, 0) || len(name) > maxPath:
		return "", refused(name, hostile, "the name has a null byte or more than %d bytes", maxPath)
	case path.IsAbs(name):
		return "", refused(name, "make the archive with relative names", "the name is absolute")
	case slices.Contains(strings.Split(name, "/"), ".."):
		return "", refused(name, "make the archive with names that have no ..", "the name leads upwards")
	}
	if name = path.Clean(name); name == "." {
		return "", nil
	}
	return name, nil
}

// strip drops n leading folders. Of a name that has no more, nothing is left.
func strip(name string, n int) string {
	for range n {
		_, name, _ = strings.Cut(name, "/")
	}
	return name
}

// checkLink holds that a symlink's target is one, and, unless outside links are taken, that it stays in the archive.
func checkLink(name, target string, outside bool) error {
	switch {
	case target == "" || strings.ContainsRune(target, 0) || len(target) > maxPath:
		return refused(name, hostile, "symlink to %.80q, which cannot be a path", target)
	case outside:
		return nil
	case path.IsAbs(target):
		return refused(name, "make the link relative", "symlink to %.80q is absolute and so leads out of the archive", target)
	}
	if to := path.Join(path.Dir(name), target); to == ".." || strings.HasPrefix(to, "../") {
		return refused(name, "remove the link, or pack what it points to", "symlink to %.80q leads out of the archive", target)
	}
	return nil
}
