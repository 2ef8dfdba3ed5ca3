package layer

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

const blockSize = 512

// header is an entry's tar header: numeric owners, one fixed time, and PAX only where USTAR cannot say it.
func header(e *builder.Entry, epoch time.Time) *tar.Header {
	h := &tar.Header{
		Name: e.Path, Mode: int64(e.Mode), Uid: e.UID, Gid: e.GID, ModTime: epoch.UTC().Truncate(time.Second),
	}
	switch e.Type {
	case builder.Dir:
		h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
	case builder.Regular:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	case builder.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
	case builder.Hardlink:
		h.Typeflag, h.Linkname = tar.TypeLink, e.Link
	}
	return h
}

// checkEntries holds what the rest relies on: sorted, each path once, parents first, nothing an engine would eat.
func checkEntries(entries []*builder.Entry) error {
	dirs := map[string]bool{".": true}
	for i, e := range entries {
		if i > 0 && entries[i-1].Path >= e.Path {
			return fmt.Errorf("entries are not sorted: %q after %q", e.Path, entries[i-1].Path)
		}
		if !dirs[path.Dir(e.Path)] {
			return fmt.Errorf("%q has no parent directory in its layer", e.Path)
		}
		if e.Type == builder.Dir {
			dirs[e.Path] = true
		}
	}
	return checkNames(entries)
}

// whiteoutPrefix begins the name of an entry that deletes the path with the rest of the name from the layers below.
const whiteoutPrefix = ".wh."

func checkNames(entries []*builder.Entry) error {
	for _, e := range entries {
		if strings.HasPrefix(path.Base(e.Path), whiteoutPrefix) {
			return builder.Errorf(builder.Input, "rename it or exclude it",
				"%q: names that begin with .wh. mean deletions in an image layer, so an engine would not unpack it", e.Path)
		}
	}
	return nil
}

// whiteout is the entry that deletes a path.
func whiteout(name string) *builder.Entry {
	return &builder.Entry{
		Path: path.Join(path.Dir(name), whiteoutPrefix+path.Base(name)), Type: builder.Regular, Mode: builder.ModeFile,
		SHA256: sumOf(sha256.New()), Content: nothing{},
	}
}

// nothing is the content of an empty file.
type nothing struct{}

func (nothing) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }

var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// writeTar writes the stream. Files whose digest is not known are hashed on the way.
func writeTar(ctx context.Context, w io.Writer, entries []*builder.Entry, epoch time.Time) error {
	tw := tar.NewWriter(w)
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := tw.WriteHeader(header(e, epoch)); err != nil {
			return fmt.Errorf("tar header of %q: %w", e.Path, err)
		}
		if e.Type == builder.Regular {
			if err := writeContent(ctx, tw, e); err != nil {
				return err
			}
		}
	}
	return tw.Close()
}

func writeContent(ctx context.Context, w io.Writer, e *builder.Entry) error {
	var sum hash.Hash
	if e.SHA256 == (v1.Hash{}) {
		sum = sha256.New()
		w = io.MultiWriter(w, sum)
	}
	if err := copyContent(ctx, w, e); err != nil {
		return err
	}
	if sum != nil {
		learn(e, sum)
	}
	return nil
}

// learn keeps a digest that was just computed.
func learn(e *builder.Entry, sum hash.Hash) {
	e.SHA256 = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	if r, ok := e.Content.(builder.Rememberer); ok {
		r.Remember(e.SHA256)
	}
}

// copyContent copies exactly e.Size bytes; anything else means that the file changed.
func copyContent(ctx context.Context, w io.Writer, e *builder.Entry) (err error) {
	body, err := e.Content.Open()
	if err != nil {
		return contentError(e, err)
	}
	defer func() {
		if cerr := body.Close(); err == nil && cerr != nil {
			err = contentError(e, cerr)
		}
	}()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	left := e.Size
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, rerr := body.Read(*buf)
		if left -= int64(n); left < 0 {
			return contentError(e, fmt.Errorf("%w: it grew", builder.ErrChanged))
		}
		if _, err := w.Write((*buf)[:n]); err != nil {
			return err
		}
		switch {
		case rerr == io.EOF && left > 0:
			return contentError(e, fmt.Errorf("%w: it is %d bytes shorter", builder.ErrChanged, left))
		case rerr == io.EOF:
			return nil
		case rerr != nil:
			return contentError(e, rerr)
		}
	}
}

func contentError(e *builder.Entry, err error) error {
	if _, ok := errors.AsType[*builder.Error](err); ok {
		return err
	}
	hint := ""
	if errors.Is(err, builder.ErrChanged) {
		hint = "let nothing write to the sources while they are built, then run the build again"
	}
	return builder.Errorf(builder.Input, hint, "read %s: %w", e.Path, err)
}

// tarSize is the length of the stream that writeTar makes, worked out from the headers alone.
func tarSize(entries []*builder.Entry, epoch time.Time) (int64, error) {
	var n counter
	for _, e := range entries {
		tw := tar.NewWriter(&n)
		if err := tw.WriteHeader(header(e, epoch)); err != nil {
			return 0, fmt.Errorf("tar header of %q: %w", e.Path, err)
		}
		if e.Type == builder.Regular {
			n += counter((e.Size + blockSize - 1) / blockSize * blockSize)
		}
	}
	return int64(n) + 2*blockSize, nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
