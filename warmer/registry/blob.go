package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry/hosts"
)

// Blob reads a blob of ref's repository from offset on, in order. It returns when the registry has begun to answer, or at
// once and without a request if offset is d.Size. A registry that knows no ranges is read in one go from the start, and
// what lies before offset is dropped.
//
// The bytes are d.Size-offset, or there is an error; whether they have d.Digest is for the caller to verify. Reading goes
// on while ctx lasts and until Close, which must be called, from the goroutine that reads, and waits for everything that
// was started.
func (c *Client) Blob(ctx context.Context, ref string, d warmer.Descriptor, offset int64) (io.ReadCloser, error) {
	r, err := ParseReference(ref)
	if err == nil {
		err = checkDigest(d.Digest)
	}
	if err != nil {
		return nil, err
	}
	if d.Size < 0 || offset < 0 || offset > d.Size || d.Size == 0 && digestOf(nil, d.Digest) != d.Digest {
		return nil, fmt.Errorf("%w: blob %s of %d bytes from %d on", ErrReference, d.Digest, d.Size, offset)
	}
	if offset == d.Size {
		return io.NopCloser(http.NoBody), nil
	}
	from, err := c.endpoints(r, func(h hosts.Host) bool { return h.Pull })
	if err != nil {
		return nil, err
	}
	b := &blob{c: c, ref: r, d: d, tries: c.attempts(r, from), storage: map[*endpoint]*url.URL{}}
	return b.open(ctx, offset)
}

// blob is what all ranges of a blob share while it is read.
type blob struct {
	c     *Client
	ref   Reference
	d     warmer.Descriptor
	tries *attempts

	mu sync.Mutex
	// storage is where a host's redirects led, so that not every range bothers the registry.
	storage map[*endpoint]*url.URL
}

// open fetches in parallel if that can help and the registry knows ranges.
func (b *blob) open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	outer := ctx
	ctx, cancel := context.WithCancel(outer)
	first := &stream{b: b, ctx: ctx, pos: offset, end: b.d.Size, whole: true}
	chunk := int64(b.c.o.Chunk)
	missing := b.d.Size - offset
	parallel := b.c.o.Parallel > 1 && missing > chunk && missing >= b.c.o.Big
	if parallel {
		first.end = offset + chunk
	}
	if err := first.open(); err != nil {
		cancel()
		return nil, err
	}
	if parallel && first.ranged {
		first.whole = false
		return &reader{b: b, outer: outer, cancel: cancel, pos: offset, window: newWindow(ctx, first)}, nil
	}
	first.end = b.d.Size
	return &reader{b: b, outer: outer, cancel: cancel, pos: offset, stream: first}, nil
}

// get asks a host for the blob, with a Range header or without. The answer is 200 or 206.
func (b *blob) get(ctx context.Context, e *endpoint, byteRange string) (*http.Response, error) {
	header := http.Header{}
	if byteRange != "" {
		header.Set("Range", byteRange)
	}
	if resp, err := b.fromStorage(ctx, e, header); resp != nil || err != nil {
		return resp, err
	}
	resp, err := e.ask(ctx, http.MethodGet, b.ref.Repository, "blobs/"+string(b.d.Digest), header)
	if err != nil {
		return nil, err
	}
	if !success(resp) {
		return nil, answerError(resp)
	}
	if u := resp.Request.URL; !e.is(u) {
		b.mu.Lock()
		b.storage[e] = u
		b.mu.Unlock()
	}
	return resp, nil
}

// fromStorage asks where a redirect led before. Without an answer and an error the registry is to be asked: there is no
// such place, or it is not valid any more.
func (b *blob) fromStorage(ctx context.Context, e *endpoint, header http.Header) (*http.Response, error) {
	b.mu.Lock()
	u := b.storage[e]
	b.mu.Unlock()
	if u == nil {
		return nil, nil //nolint:nilnil // the contract
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err //nolint:wrapcheck // cannot be
	}
	req.Header = header.Clone()
	resp, err := e.follow(req, nil)
	if err == nil && success(resp) {
		return resp, nil
	}
	b.mu.Lock()
	delete(b.storage, e)
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if s := resp.StatusCode; s == http.StatusTooManyRequests || s >= 500 || s == http.StatusRequestedRangeNotSatisfiable {
		return nil, answerError(resp)
	}
	discard(resp)
	return nil, nil //nolint:nilnil // the contract
}

func success(resp *http.Response) bool {
	return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent
}
