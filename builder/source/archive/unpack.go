package archive

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/decompress"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// maxTrailing is how many null bytes may be behind the end of a tar archive.
const maxTrailing = 16 << 20

const damagedHint = "get or make the archive anew"

func unpack(ctx context.Context, w *pack.Writer, v volume, o *Options) (err error) {
	in := v.open()
	defer func() { err = errors.Join(err, in.Close()) }()
	packed := &source{r: &cancellable{ctx: ctx, r: in}}
	buffered := bufio.NewReaderSize(packed, 256<<10)
	format := o.Format
	if format == "" {
		first, err := buffered.Peek(lead)
		if err != nil && !errors.Is(err, io.EOF) {
			return err //nolint:wrapcheck // names the file
		}
		if format, err = detect(first); err != nil {
			return err
		}
	}
	if format == Zip {
		return unpackZip(ctx, w, v, o)
	}
	return unpackTar(ctx, w, buffered, packed, format, o)
}

func unpackTar(ctx context.Context, w *pack.Writer, buffered *bufio.Reader, packed *source, format Format, o *Options) (err error) {
	plain, err := decompress.NewReader(format.codec(), buffered)
	if err != nil {
		return packed.explain(err)
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	archive := &content{r: plain, packed: packed}
	if err := w.AddTar(ctx, archive, pack.TarOptions{
		StripComponents: o.StripComponents, Limits: o.Limits, EndMark: true, Packed: func() int64 { return packed.n },
	}); err != nil {
		return err //nolint:wrapcheck // names the entry
	}
	return onlyNulls(archive)
}

// onlyNulls reads what is behind the end of a tar archive, so that checksums are checked to the last.
func onlyNulls(r io.Reader) error {
	buf := make([]byte, 64<<10)
	for n := 0; ; {
		got, err := r.Read(buf)
		for _, b := range buf[:got] {
			if b != 0 {
				return builder.Errorf(builder.Input, "archives that were joined are read by few programs: make one of them, or a source of each",
					"there is more behind the end of its tar archive")
			}
		}
		if n += got; n > maxTrailing {
			return builder.Errorf(builder.Input, damagedHint, "there are more than %d null bytes behind the end of its tar archive", maxTrailing)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // says it all
		}
	}
}

// source counts the packed bytes and remembers why they ended, other than by their proper end.
type source struct {
	r   io.Reader
	n   int64
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}

// explain prefers the source's own error, which decompressors may hide, to what came of it.
func (s *source) explain(err error) error {
	switch {
	case s.err != nil:
		return s.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return builder.Errorf(builder.Input, damagedHint, "it is cut short: %w", err)
	default:
		return builder.Errorf(builder.Input, damagedHint, "it is damaged: %w", err)
	}
}

// content is what was packed, with errors that say whose fault they are.
type content struct {
	r      io.Reader
	packed *source
}

func (c *content) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // as io.Reader promises it
		err = c.packed.explain(err)
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}
