package pinned

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
)

// File is the content of a regular file in the state that Stat describes. It is a [builder.Content] and a
// [builder.Rememberer].
type File struct {
	Root string // the folder
	Name string // slash-separated path below Root
	Stat memo.Stat
	Memo *memo.Memo // of Root; may be nil
}

// Pin looks at the file that name, slash-separated, leads to below root; symlinks are followed as long as they stay
// below root. The error of a file that is missing, unreadable, no regular file or outside is a [builder.Error].
func Pin(root, name string) (*File, Stat, error) {
	file := &File{Root: root, Name: name}
	f, err := open(root, name)
	if err != nil {
		return nil, Stat{}, file.failed(err)
	}
	defer f.Close()
	stat, err := Fstat(f, time.Now())
	if err != nil {
		return nil, Stat{}, file.failed(err)
	}
	if stat.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, Stat{}, builder.Errorf(builder.Input, "a single regular file is wanted here",
			"read %q in folder %q: not a regular file", name, root)
	}
	file.Stat = stat.Stat
	return file, stat, nil
}

// Open returns the bytes from the start, or an error that matches [builder.ErrChanged] if this is not the file that
// was pinned. So do Read, at the end, and Close.
func (f *File) Open() (io.ReadCloser, error) {
	opened, err := open(f.Root, f.Name)
	if err != nil {
		return nil, f.gone(err)
	}
	r := &reader{file: f, opened: opened, left: f.Stat.Size}
	if err := r.verify(); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return r, nil
}

// Remember tells the memo the digest of the pinned state.
func (f *File) Remember(sha256 v1.Hash) { f.Memo.Remember(f.Name, f.Stat, sha256) }

// OpenRoot opens a folder that the user named, which may be a symlink. Of anything but a folder it says at once that
// it is none, where opening a FIFO would wait for a writer.
func OpenRoot(name string) (*os.Root, error) {
	if name == "" {
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	}
	return os.OpenRoot(name + "/.")
}

// open does not wait for a writer if a FIFO was put where the file was.
func open(root, name string) (*os.File, error) {
	dir, err := OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// gone tells why a file that was there cannot be opened now.
func (f *File) gone(err error) error {
	errno, _ := errors.AsType[syscall.Errno](err)
	switch {
	case leadsOutside(err):
		return f.changed()
	case errno == syscall.ENOENT || errno == syscall.ENOTDIR || errno == syscall.ELOOP || errno == syscall.ENXIO:
		return f.changed()
	default:
		return f.failed(err)
	}
}

func (f *File) changed() error { return Changed(f.Root, f.Name) }

func (f *File) failed(err error) error { return Failed(f.Root, f.Name, err) }

// reader hands out exactly the bytes of the pinned state. It is used by one goroutine.
type reader struct {
	file   *File
	opened *os.File
	left   int64
	err    error // sticky
	closed bool
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.opened.Read(p)
	if int64(n) > r.left {
		n, err = int(r.left), r.file.changed()
	}
	r.left -= int64(n)
	switch {
	case err == io.EOF: //nolint:errorlint // as io.Reader promises it
		r.err = r.atEnd()
	case err != nil && !errors.Is(err, builder.ErrChanged):
		r.err = r.file.failed(err)
	default:
		r.err = err
	}
	return n, r.err
}

func (r *reader) atEnd() error {
	if r.left != 0 {
		return r.file.changed()
	}
	if err := r.verify(); err != nil {
		return err
	}
	return io.EOF
}

// verify compares the open file with the pinned state.
func (r *reader) verify() error {
	stat, err := Fstat(r.opened, time.Time{})
	if err != nil {
		return r.file.failed(err)
	}
	if !stat.Same(r.file.Stat) {
		return r.file.changed()
	}
	return nil
}

// Close may be called more than once.
func (r *reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.verify()
	return errors.Join(err, r.opened.Close())
}
