package pack

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// content is a file's bytes in a pack. It is a [builder.Content].
type content struct {
	store        *Store
	key          v1.Hash
	path         string
	offset, size int64
	sum          [sha256.Size]byte
}

func (c *content) Open() (io.ReadCloser, error) {
	f, err := os.Open(c.store.file(c.key, packSuffix))
	if err != nil {
		return nil, c.lost(err)
	}
	return &reader{content: c, file: f, r: io.NewSectionReader(f, c.offset, c.size), sum: sha256.New()}, nil
}

// lost is the error about a pack that is not what it was when it was made. The index goes, so that the next build makes
// the pack again.
func (c *content) lost(cause error) error {
	_ = os.Remove(c.store.file(c.key, indexSuffix)) // the error that matters is this one
	return builder.Errorf(builder.Input, "run the build again: it unpacks the archive anew",
		"read %q in the cache of unpacked archives: %w: %w", c.path, builder.ErrChanged, cause)
}

// reader hands out a file's bytes and at their end holds them against the digest. It is used by one goroutine.
type reader struct {
	content *content
	file    *os.File
	r       *io.SectionReader
	sum     hash.Hash
	n       int64
	err     error // sticky
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	r.sum.Write(p[:n])
	r.n += int64(n)
	switch {
	case err == io.EOF: //nolint:errorlint // as io.Reader promises it
		err = r.atEnd()
	case err != nil:
		err = r.content.lost(err)
	}
	r.err = err
	return n, err
}

var errDamaged = errors.New("the bytes are not those that were unpacked")

func (r *reader) atEnd() error {
	if r.n != r.content.size || [sha256.Size]byte(r.sum.Sum(nil)) != r.content.sum {
		return r.content.lost(errDamaged)
	}
	return io.EOF
}

// Close may be called more than once.
func (r *reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file, r.err = nil, os.ErrClosed
	return err //nolint:wrapcheck // names the file
}
