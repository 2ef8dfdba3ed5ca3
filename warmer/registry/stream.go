package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// piece is how much is read at once, and so paid to the bandwidth.
const piece = 32 << 10

// errNoRanges is for a range that the registry answered with everything.
var errNoRanges = errors.New("the registry knows no ranges")

// stream reads a part of a blob, [pos, end), with one request, or several if it is cut.
type stream struct {
	b        *blob
	ctx      context.Context //nolint:containedctx // a reader has no other way
	pos, end int64
	// whole says that an answer with the whole blob will do: what is before pos is dropped.
	whole bool

	// ranged says that the answer under way is a range.
	ranged bool
	turn   turn
	body   io.ReadCloser
	stop   int64 // where the answer under way ends; -1 if it does not say
	short  int64 // where an answer of unknown length ended before its time
}

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for s.pos < s.end {
		if s.body == nil {
			if err := s.open(); err != nil {
				return 0, err
			}
		}
		n, err := s.body.Read(p[:min(int64(len(p)), piece, s.end-s.pos)])
		s.pos += int64(n)
		if n > 0 {
			s.b.tries.arrived(s.turn, n)
			if s.pos == s.end {
				err = s.finish(err)
			} else if err != nil {
				err = s.broken(err)
			}
			if err == nil {
				err = s.b.c.throttle(s.ctx, n)
			}
			return n, err
		}
		if err != nil {
			if err := s.broken(err); err != nil {
				return 0, err
			}
		}
	}
	return 0, io.EOF
}

// Close ends the request under way.
func (s *stream) Close() {
	if s.body != nil {
		_ = s.body.Close() // what was wanted of it has been read
		s.body = nil
	}
}

// finish is for when everything is there: nothing may follow. err is what came with the last byte.
func (s *stream) finish(err error) error {
	defer s.Close()
	if s.stop < 0 && s.end == s.b.d.Size && err == nil {
		var more [1]byte
		if n, _ := io.ReadFull(s.body, more[:]); n > 0 { // that nothing comes is all that matters
			f := contentError("blob %s has more than %d bytes", s.b.d.Digest, s.b.d.Size)
			return registryError(s.b.ref, s.turn.e, f)
		}
	}
	s.turn.e.gate.done(s.turn)
	return nil
}

// broken is for when an answer ended before everything was there. The error is the context's.
func (s *stream) broken(err error) error {
	s.Close()
	switch {
	case errors.Is(err, io.EOF) && s.pos == s.stop:
		return nil // a shorter range than was asked for, which is allowed
	case errors.Is(err, io.EOF) && s.stop < 0 && s.short == s.pos && s.pos > 0:
		err = contentError("blob %s has %d bytes, want %d", s.b.d.Digest, s.pos, s.b.d.Size)
	case errors.Is(err, io.EOF):
		s.short = s.pos
		err = fmt.Errorf("blob %s ends after %d bytes: %w", s.b.d.Digest, s.pos, io.ErrUnexpectedEOF)
	}
	return s.b.tries.failed(s.ctx, s.turn, err)
}

// open makes requests until one is answered with what is missing, or it is known that none will be.
func (s *stream) open() error {
	for {
		t, err := s.b.tries.next(s.ctx)
		if err != nil {
			return err
		}
		s.turn = t
		err = s.request(t.e)
		if err == nil || errors.Is(err, errNoRanges) {
			t.e.gate.answered(t)
			return err
		}
		s.Close()
		if err := s.b.tries.failed(s.ctx, t, err); err != nil {
			return err
		}
	}
}

func (s *stream) request(e *endpoint) error {
	resp, err := s.b.get(s.ctx, e, s.rangeHeader()) //nolint:bodyclose // closed with the stream
	if err != nil {
		return err
	}
	s.body, s.ranged = resp.Body, resp.StatusCode == http.StatusPartialContent
	if s.ranged {
		return s.acceptRange(resp)
	}
	if !s.whole {
		s.Close()
		return errNoRanges
	}
	if resp.ContentLength >= 0 && resp.ContentLength != s.b.d.Size {
		return contentError("blob %s has %d bytes, want %d", s.b.d.Digest, resp.ContentLength, s.b.d.Size)
	}
	s.stop = resp.ContentLength
	return s.skip()
}

func (s *stream) rangeHeader() string {
	if s.pos == 0 && s.end == s.b.d.Size {
		return ""
	}
	return fmt.Sprintf("bytes=%d-%d", s.pos, s.end-1) // not "bytes=POS-": go-containerregistry's registry refuses that
}

// acceptRange checks that the answer is a range that begins with what is missing.
func (s *stream) acceptRange(resp *http.Response) error {
	v := resp.Header.Get("Content-Range")
	from, to, total, ok := parseContentRange(v)
	switch {
	case !ok || from != s.pos:
		return contentError("blob %s: asked for bytes from %d on and got %q", s.b.d.Digest, s.pos, printable(v))
	case total >= 0 && total != s.b.d.Size || to >= s.b.d.Size:
		return contentError("blob %s: want %d bytes, the registry has %q", s.b.d.Digest, s.b.d.Size, printable(v))
	case to+1 < s.end && to+1-from < headway:
		return contentError("blob %s: asked for %d bytes and got %d", s.b.d.Digest, s.end-s.pos, to+1-from)
	}
	s.stop = to + 1
	return nil
}

// skip drops what is before pos. It counts for the bandwidth.
func (s *stream) skip() error {
	if s.pos == 0 {
		return nil
	}
	n, err := io.Copy(struct{ io.Writer }{io.Discard}, &throttled{ctx: s.ctx, c: s.b.c, r: io.LimitReader(s.body, s.pos)})
	if err == nil && n < s.pos {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("blob %s: drop the first %d bytes: %w", s.b.d.Digest, s.pos, err)
	}
	return nil
}

// parseContentRange understands "bytes FROM-TO/TOTAL"; a total of * is -1.
func parseContentRange(v string) (from, to, total int64, ok bool) {
	span, size, ok1 := strings.Cut(strings.TrimPrefix(v, "bytes "), "/")
	first, last, ok2 := strings.Cut(span, "-")
	from, to, total = number(first), number(last), number(size)
	return from, to, total, strings.HasPrefix(v, "bytes ") && ok1 && ok2 && from >= 0 && to >= from && (total > to || size == "*")
}

// number is -1 for what is none.
func number(s string) int64 {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return -1
	}
	return int64(n) //nolint:gosec // has 63 bits
}

// printable bounds what is shown of a header.
func printable(v string) string { return v[:min(len(v), 100)] }
