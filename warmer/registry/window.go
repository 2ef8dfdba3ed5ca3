package registry

import (
	"context"
	"io"
	"sync"
)

// window is the part of a blob that is being fetched: a few chunks in a row, each by a goroutine, the first of which is
// being read.
type window struct {
	b       *blob
	ctx     context.Context //nolint:containedctx // the goroutines'
	unwatch func() bool     // forgets ctx
	wg      sync.WaitGroup

	mu    sync.Mutex
	moved sync.Cond
	queue []*chunk // claimed by a goroutine, in order
	next  int64    // what nobody has claimed yet
	err   error    // the first one; no chunk is claimed after it
}

// chunk is a part of the blob and how much of it is there.
type chunk struct {
	from, to  int64
	buf       *[]byte
	n, readTo int
}

func newWindow(ctx context.Context, first *stream) *window {
	b := first.b
	w := &window{b: b, ctx: ctx, next: first.pos}
	w.moved.L = &w.mu
	w.unwatch = context.AfterFunc(ctx, func() { w.fail(ctx.Err()) })
	c := w.claim()
	w.wg.Go(func() { w.fetch(c, first) })
	for range b.c.o.Parallel - 1 {
		w.wg.Go(func() { w.fetch(nil, nil) })
	}
	return w
}

// fetch fetches chunk after chunk; the first one, if given, from a stream that is open already.
func (w *window) fetch(c *chunk, s *stream) {
	for {
		if c == nil {
			if c = w.claim(); c == nil {
				return
			}
			s = &stream{b: w.b, ctx: w.ctx, pos: c.from, end: c.to}
		}
		err := w.fill(c, s)
		s.Close()
		if err != nil {
			w.fail(err)
			return
		}
		c = nil
	}
}

// claim waits for room in the window and takes the next chunk; nil if there is none or something failed.
func (w *window) claim() *chunk {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) >= w.b.c.o.Parallel && w.err == nil {
		w.moved.Wait()
	}
	if w.err != nil || w.next >= w.b.d.Size {
		return nil
	}
	buf, _ := w.b.c.buffers.Get().(*[]byte) // nothing else is in there
	c := &chunk{from: w.next, to: min(w.next+int64(len(*buf)), w.b.d.Size), buf: buf}
	w.next = c.to
	w.queue = append(w.queue, c)
	return c
}

func (w *window) fill(c *chunk, s *stream) error {
	for at := 0; at < int(c.to-c.from); {
		n, err := s.Read((*c.buf)[at:])
		at += n
		w.mu.Lock()
		c.n = at
		w.mu.Unlock()
		w.moved.Broadcast()
		if err != nil {
			return err //nolint:wrapcheck // the stream's
		}
	}
	return nil
}

func (w *window) fail(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	w.mu.Unlock()
	w.moved.Broadcast()
}

// Read gives what is there of the first chunk. An error comes after what arrived in a row before it.
func (w *window) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if len(w.queue) == 0 && w.next >= w.b.d.Size {
			return 0, io.EOF
		}
		if len(w.queue) > 0 && w.queue[0].readTo < w.queue[0].n {
			break
		}
		if w.err != nil {
			return 0, w.err
		}
		w.moved.Wait()
	}
	c := w.queue[0]
	n := copy(p, (*c.buf)[c.readTo:c.n])
	c.readTo += n
	if int64(c.readTo) == c.to-c.from {
		w.queue = w.queue[1:]
		w.b.c.buffers.Put(c.buf)
		w.moved.Broadcast()
	}
	return n, nil
}

// close waits for the goroutines; ctx has ended.
func (w *window) close() {
	w.unwatch()
	w.fail(context.Canceled)
	w.wg.Wait()
	for _, c := range w.queue {
		w.b.c.buffers.Put(c.buf)
	}
	w.queue = nil
}
