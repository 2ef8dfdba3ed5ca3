package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// reader is what Blob returns. It reads through one of window and stream.
type reader struct {
	b      *blob
	outer  context.Context    //nolint:containedctx // the caller's; a reader has no other way
	cancel context.CancelFunc // of what is under way
	pos    int64
	window *window
	stream *stream
	closed bool
}

func (r *reader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, fmt.Errorf("blob %s: read after Close", r.b.d.Digest)
	}
	if r.window == nil {
		return r.advance(r.stream.Read(p))
	}
	n, err := r.window.Read(p)
	if n == 0 && errors.Is(err, errNoRanges) {
		// Another of the registry's machines, or a mirror. One transfer of the rest is all there is to be had.
		if err := r.sequential(); err != nil {
			return 0, err
		}
		return r.Read(p)
	}
	return r.advance(n, err)
}

func (r *reader) advance(n int, err error) (int, error) {
	r.pos += int64(n)
	if err != nil && !errors.Is(err, io.EOF) && r.outer.Err() != nil {
		err = r.outer.Err()
	}
	return n, err
}

// sequential goes on with one stream from here.
func (r *reader) sequential() error {
	r.cancel()
	r.window.close()
	r.window = nil
	ctx, cancel := context.WithCancel(r.outer)
	r.cancel = cancel
	r.stream = &stream{b: r.b, ctx: ctx, pos: r.pos, end: r.b.d.Size, whole: true}
	return r.stream.open()
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	r.closed = true
	r.cancel()
	if r.window != nil {
		r.window.close()
	}
	if r.stream != nil {
		r.stream.Close()
	}
	return nil
}
