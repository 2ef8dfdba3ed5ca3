package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/pinned"
)

// volume is an archive's bytes: those of its files, one behind the other.
type volume []*pinned.File

// pin looks at a file that the user named, which may be a symlink.
func pin(name string) (*pinned.File, error) {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		hint := "correct the source's path in the pipeline file: paths are relative to it"
		if errors.Is(err, fs.ErrPermission) {
			hint = "make the file and the folders above it readable for the user who builds"
		}
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err
		}
		return nil, builder.Errorf(builder.Input, hint, "read archive %q: %w", name, err)
	}
	f, _, err := pinned.Pin(filepath.Dir(target), filepath.Base(target))
	return f, err //nolint:wrapcheck // names the file
}

func (v volume) size() (n int64) {
	for _, f := range v {
		n += f.Stat.Size
	}
	return n
}

// open reads all files, in order. A file that is not as it was pinned is an error that matches [builder.ErrChanged].
func (v volume) open() io.ReadCloser { return &sequence{rest: v} }

type sequence struct {
	rest    volume
	current io.ReadCloser
}

func (s *sequence) Read(p []byte) (int, error) {
	for {
		if s.current == nil {
			if len(s.rest) == 0 {
				return 0, io.EOF
			}
			f, err := s.rest[0].Open()
			if err != nil {
				return 0, err //nolint:wrapcheck // names the file
			}
			s.current, s.rest = f, s.rest[1:]
		}
		n, err := s.current.Read(p)
		if err == io.EOF { //nolint:errorlint // as io.Reader promises it
			err = s.current.Close()
			s.current = nil
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err //nolint:wrapcheck // names the file
		}
	}
}

func (s *sequence) Close() error {
	s.rest = nil
	if s.current == nil {
		return nil
	}
	err := s.current.Close()
	s.current = nil
	return err //nolint:wrapcheck // names the file
}

// random reads all files at any place. Only Close tells whether they were as pinned all the time.
type random struct {
	volume volume
	files  []*os.File
	ends   []int64 // of each file, in the whole
}

func (v volume) openRandom() (*random, error) {
	r := &random{volume: v}
	end := int64(0)
	for _, p := range v {
		f, err := os.OpenFile(filepath.Join(p.Root, p.Name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, errors.Join(pinned.Failed(p.Root, p.Name, err), r.release())
		}
		end += p.Stat.Size
		r.files, r.ends = append(r.files, f), append(r.ends, end)
	}
	if err := r.verify(); err != nil {
		return nil, errors.Join(err, r.release())
	}
	return r, nil
}

// ReadAt implements [io.ReaderAt].
func (r *random) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		i := sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > at })
		if i == len(r.ends) {
			return n, io.EOF
		}
		f := r.volume[i]
		most := min(int64(len(p)-n), r.ends[i]-at)
		got, err := r.files[i].ReadAt(p[n:n+int(most)], at-(r.ends[i]-f.Stat.Size))
		n += got
		switch {
		case int64(got) == most:
		case errors.Is(err, io.EOF):
			return n, pinned.Changed(f.Root, f.Name)
		case err != nil:
			return n, pinned.Failed(f.Root, f.Name, err)
		}
	}
	return n, nil
}

func (r *random) verify() error {
	for i, f := range r.files {
		p := r.volume[i]
		stat, err := pinned.Fstat(f, time.Time{})
		if err != nil {
			return pinned.Failed(p.Root, p.Name, err)
		}
		if !stat.Same(p.Stat) {
			return pinned.Changed(p.Root, p.Name)
		}
	}
	return nil
}

func (r *random) release() (err error) {
	for _, f := range r.files {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("close archive: %w", err)
	}
	return nil
}

// Close returns an error that matches [builder.ErrChanged] if a file is not as it was pinned.
func (r *random) Close() error { return errors.Join(r.verify(), r.release()) }
