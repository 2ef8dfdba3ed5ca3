package files

import (
	"errors"
	"path"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// validate reports all faults of the list.
func validate(files []File) error {
	var errs []error
	seen := map[string]bool{}
	for i := range files {
		f := &files[i]
		errs = append(errs, validateFile(f))
		if p := imagePath(f.Path); seen[p] {
			errs = append(errs, fault("list each path once", f, "it is listed twice"))
		} else {
			seen[p] = true
		}
	}
	return errors.Join(errs...)
}

func validateFile(f *File) error {
	switch {
	case !cleanBelow(imagePath(f.Path)):
		return fault("write it as in /etc/passwd, without . or .. parts", f, "not a path below the image's root")
	case kinds(f) != 1:
		return fault("", f, "exactly one of content, from, link and dir is needed")
	case f.From != "" && !cleanBelow(path.Clean(f.From)):
		return fault("from is relative to the pipeline file's folder and cannot leave it", f, "from %q is outside", f.From)
	case f.Mode > 0o7777:
		return fault(`modes are octal, as in "0755"`, f, "mode %#o has more than permission bits", f.Mode)
	case f.Link != "" && f.Mode != 0:
		return fault("leave the mode out", f, "a symlink has no mode of its own")
	case strings.ContainsRune(f.Link, 0):
		return fault("", f, "the link's target holds a NUL byte")
	}
	return nil
}

// cleanBelow reports whether p is a relative path that names something below where it starts.
func cleanBelow(p string) bool {
	return p != "" && p == path.Clean(p) && p != "." && p != ".." &&
		!strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "../") && !strings.ContainsRune(p, 0)
}

func kinds(f *File) int {
	n := 0
	for _, set := range []bool{f.Content != nil, f.From != "", f.Link != "", f.Dir} {
		if set {
			n++
		}
	}
	return n
}

func fault(hint string, f *File, format string, args ...any) error {
	return builder.Errorf(builder.Config, hint, "files: %q: "+format, append([]any{f.Path}, args...)...)
}
