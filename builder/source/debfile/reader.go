package debfile

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/decompress"
)

// Bounds on what is held in memory of a package or skipped in it.
const (
	maxVersionMember = 1 << 10
	maxControlTar    = 256 << 20
	maxControl       = 1 << 20
	maxMD5Sums       = 32 << 20
	maxTrailing      = 1 << 20
)

// Reader is one package being read. It is used by one goroutine.
type Reader struct {
	name    string
	source  *source
	ar      *archive
	control *Control
	data    io.ReadCloser
}

// Open reads a package up to the start of its data. name is what errors call the package. The context ends reading,
// also of what Data returns.
func Open(ctx context.Context, name string, r io.Reader) (*Reader, error) {
	d := &Reader{name: name, source: &source{ctx: ctx, r: r}}
	if err := d.open(); err != nil {
		return nil, d.failed(err)
	}
	return d, nil
}

func (d *Reader) open() (err error) {
	if d.ar, err = openArchive(d.source); err != nil {
		return err
	}
	if err := d.readVersion(); err != nil {
		return err
	}
	control, err := d.openTar("control.tar")
	if err != nil {
		return err
	}
	if d.control, err = readControl(control); err != nil {
		return errors.Join(err, control.Close())
	}
	if err := control.Close(); err != nil {
		return err
	}
	d.data, err = d.openTar("data.tar")
	return err
}

func (d *Reader) readVersion() error {
	m, err := d.ar.next()
	if err != nil {
		return cutShort(err)
	}
	if m.name != "debian-binary" || m.size > maxVersionMember {
		return fmt.Errorf("the first member is %q, not \"debian-binary\"", m.name)
	}
	version, err := io.ReadAll(d.ar)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(version), "2.") {
		return fmt.Errorf("its format version is %q, not 2", version)
	}
	return nil
}

// openTar finds the member with this stem. Members whose names begin with an underscore may stand before it (deb(5)).
func (d *Reader) openTar(stem string) (io.ReadCloser, error) {
	for {
		m, err := d.ar.next()
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", stem, cutShort(err))
		}
		if strings.HasPrefix(m.name, "_") {
			continue
		}
		suffix, ok := strings.CutPrefix(m.name, stem)
		codec, packed := strings.CutPrefix(suffix, ".")
		if !ok || packed == (codec == "") {
			return nil, fmt.Errorf("member %q stands where %s belongs", m.name, stem)
		}
		r, err := decompress.NewReader(decompress.Codec(codec), d.ar)
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m.name, err)
		}
		return r, nil
	}
}

func readControl(r io.Reader) (*Control, error) {
	var paragraph, md5sums []byte
	t := tar.NewReader(&capped{r: r, left: maxControlTar})
	for {
		h, err := t.Next()
		if err == io.EOF { //nolint:errorlint // as tar.Reader promises it
			break
		}
		if err != nil {
			return nil, fmt.Errorf("control.tar: %w", cutShort(err))
		}
		switch {
		case h.Typeflag != tar.TypeReg:
		case path.Clean(h.Name) == "control":
			paragraph, err = readSmall(t, h, maxControl)
		case path.Clean(h.Name) == "md5sums":
			md5sums, err = readSmall(t, h, maxMD5Sums)
		}
		if err != nil {
			return nil, fmt.Errorf("control.tar: %w", err)
		}
	}
	if paragraph == nil {
		return nil, errors.New("control.tar has no control file")
	}
	c, err := ParseControl(paragraph)
	if err != nil {
		return nil, err
	}
	c.MD5Sums = md5sums
	return c, nil
}

func readSmall(r io.Reader, h *tar.Header, limit int64) ([]byte, error) {
	if h.Size > limit {
		return nil, fmt.Errorf("%q has %d bytes, more than %d", h.Name, h.Size, limit)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", h.Name, cutShort(err))
	}
	return content, nil
}

// Control is the package's description.
func (d *Reader) Control() *Control { return d.control }

// Data is the decompressed data.tar.
func (d *Reader) Data() io.Reader { return (*dataReader)(d) }

// Finish reads what is left: the end of the data, which shows whether the compressed stream is whole, and anything
// behind it, so that a hash over the input covers all of it. Call it when the tar archive was read to its end.
func (d *Reader) Finish() error {
	if _, err := io.Copy(io.Discard, &capped{r: d.data, left: maxTrailing}); err != nil {
		return d.failed(fmt.Errorf("after the end of data.tar: %w", err))
	}
	for {
		_, err := d.ar.next()
		if err == io.EOF { //nolint:errorlint // as next promises it
			return nil
		}
		if err != nil {
			return d.failed(cutShort(err))
		}
	}
}

// Close frees what decompression holds. The input is the caller's to close.
func (d *Reader) Close() error { return d.data.Close() }

// failed tells a damaged package from an input that could not be read.
func (d *Reader) failed(err error) error {
	if d.source.err != nil {
		return fmt.Errorf("read %s: %w", d.name, d.source.err)
	}
	return builder.Errorf(builder.Input, "the file is damaged or no Debian package: get it again",
		"read Debian package %s: %w", d.name, err)
}

// dataReader is the Reader's data with errors that name the package.
type dataReader Reader

func (d *dataReader) Read(p []byte) (int, error) {
	n, err := d.data.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // as io.Reader promises it
		err = (*Reader)(d).failed(err)
	}
	return n, err
}

// source remembers why the input could not be read, which decompressors do not all pass on.
type source struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to stop
	r   io.Reader
	err error // other than io.EOF
}

func (s *source) Read(p []byte) (int, error) {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}

// capped fails after left bytes: what is longer is not what it claims to be.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, errors.New("there is far more than belongs here")
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}
