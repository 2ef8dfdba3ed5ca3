package pinned

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Changed is the error about a path that is not as it was found. It matches [builder.ErrChanged].
func Changed(root, name string) error {
	return builder.Errorf(builder.Input, "build again when nothing writes to the folder any more",
		"read %q in folder %q: %w", name, root, builder.ErrChanged)
}

// Failed explains err, about name below root, as far as the user can do something about it.
func Failed(root, name string, err error) error {
	kind, hint := builder.Input, ""
	switch {
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		kind, hint = builder.Internal, "raise the limit of open files (ulimit -n)"
	case errors.Is(err, fs.ErrPermission):
		hint = "make the file and the folders above it readable for the user who builds"
	case errors.Is(err, fs.ErrNotExist):
		hint = "create the file or correct its path in the pipeline file"
	case leadsOutside(err):
		hint = "the file, and where symlinks on the way lead, must be below the folder"
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err // the message names the file better
	}
	return builder.Errorf(kind, hint, "read %q in folder %q: %w", name, root, err)
}

// leadsOutside recognises os.Root's own refusal: every other reason not to open a file is the kernel's.
func leadsOutside(err error) bool {
	_, isErrno := errors.AsType[syscall.Errno](err)
	return !isErrno
}
