package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// chunks is a writer that sends what is written to it as PATCH requests of bounded size. The body of a PATCH is a
// pipe: nothing is kept.
type chunks struct {
	*session
	ctx  context.Context
	skip int64 // bytes that the registry has already
	// total is the blob's size, or -1. Only a chunk whose end is known can carry a Content-Range, which registries want
	// of every chunk but a single one; a blob of unknown size goes in one body.
	total   int64
	written int64 // by the producer, what was skipped included

	pipe  *io.PipeWriter
	sent  int64 // of the PATCH in progress, which takes limit bytes
	limit int64
	done  chan error
}

func (c *chunks) Write(p []byte) (int, error) {
	all := len(p)
	c.written += int64(all)
	if c.total >= 0 && c.written > c.total {
		return 0, c.changed()
	}
	if skipped := min(int64(len(p)), c.skip); skipped > 0 {
		c.skip -= skipped
		p = p[skipped:]
	}
	for len(p) > 0 {
		if c.pipe == nil {
			c.begin()
		}
		part := p[:min(int64(len(p)), c.limit-c.sent)]
		n, err := c.pipe.Write(part)
		c.sent += int64(n)
		if err != nil {
			return 0, io.ErrClosedPipe // the reason comes with finish
		}
		p = p[n:]
		if c.sent >= c.limit {
			if err := c.end(nil); err != nil {
				return 0, err
			}
		}
	}
	return all, nil
}

// changed is the error for a blob that has another size than it had.
func (c *chunks) changed() error {
	return builder.Errorf(builder.Input, changedHint, "blob of %d bytes: %w: now it has %d or more", c.total, builder.ErrChanged, c.written)
}

// begin starts a PATCH whose body is what is written next.
func (c *chunks) begin() {
	body, w := io.Pipe()
	c.pipe, c.sent, c.limit, c.done = w, 0, math.MaxInt64, make(chan error, 1)
	if ranged := c.total > c.offset && !c.single.Load(); ranged {
		c.limit = min(c.client.o.Chunk, c.total-c.offset)
	}
	go func() { // joined by end, which every begin is followed by
		err := c.patch(body, c.offset, c.limit)
		_ = body.CloseWithError(errors.Join(err, io.ErrClosedPipe))
		c.done <- err
	}()
}

func (c *chunks) patch(body io.Reader, offset, limit int64) error {
	req, err := http.NewRequestWithContext(c.ctx, http.MethodPatch, c.location, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if limit < math.MaxInt64 {
		req.ContentLength = limit
		req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", offset, offset+limit-1))
	}
	resp, err := c.conn.Do(req)
	if err != nil {
		return c.transportError(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusAccepted, http.StatusNoContent, http.StatusCreated:
		return c.moved(resp)
	case http.StatusNotFound, http.StatusBadRequest, http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %s", errSessionLost, resp.Status)
	default:
		return c.statusError("PATCH "+c.location, resp)
	}
}

// end closes the PATCH in progress and waits for its answer; cause is why the rest of the body does not come.
func (c *chunks) end(cause error) error {
	if c.pipe == nil {
		return nil
	}
	_ = c.pipe.CloseWithError(cause)
	err := <-c.done
	c.pipe = nil
	if err == nil {
		c.offset += c.sent
	}
	return err
}

// finish ends the last PATCH. After a failure of the producer the body is broken off, so that the registry does not
// take it for whole.
func (c *chunks) finish(produced error) error {
	if produced != nil && c.pipe != nil {
		return c.end(fmt.Errorf("the blob was not produced: %w", produced))
	}
	return c.end(nil)
}
