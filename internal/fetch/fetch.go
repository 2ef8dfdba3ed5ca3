// Package fetch downloads a file over HTTP: checked against its hash, taken up after a cut, in place only when whole.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Sum is what the file must be.
type Sum struct {
	SHA256 string // hex
	Size   int64  // bytes; 0 means unknown
}

// Error is a failed download.
type Error struct {
	URL    string
	Status int // of the last answer; 0 if there was none
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("get %s: %v", e.URL, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// ErrWrongSum is matched when the bytes are not those that were asked for.
var ErrWrongSum = errors.New("the bytes do not have the expected size and sha256")

// Client downloads files. The zero Client is ready to use.
type Client struct {
	// HTTP makes the requests; nil means http.DefaultClient.
	HTTP *http.Client
	// Retries is how often a download that may succeed later is tried again; 0 means 5.
	Retries int
	// Progress is told of every byte; it may be nil.
	Progress func(n int64)
}

const (
	firstWait = 500 * time.Millisecond
	mostWait  = 30 * time.Second
)

// File downloads url to dst. What an earlier call got is in dst+".part" and is continued. On failure dst does not exist
// and the error is an [*Error]; bytes with a wrong sum are removed.
func (c *Client) File(ctx context.Context, url string, want Sum, dst string) error {
	bound := firstWait
	for attempt := 0; ; attempt++ {
		wait, err := c.once(ctx, url, want, dst)
		if err == nil {
			return nil
		}
		if wait < 0 || attempt >= max(c.Retries, 5) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return &Error{URL: url, Err: ctx.Err()}
		case <-time.After(max(wait, rand.N(bound))):
			bound = min(2*bound, mostWait)
		}
	}
}

// once makes one request. A wait below zero means that another would not help.
func (c *Client) once(ctx context.Context, url string, want Sum, dst string) (wait time.Duration, err error) {
	part := dst + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return -1, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return -1, err
	}
	if have == 0 || have != want.Size {
		if wait, err := c.get(ctx, url, f, have); err != nil {
			return wait, err
		}
	}
	if err := check(f, want); err != nil {
		return -1, &Error{URL: url, Err: errors.Join(err, os.Remove(part))}
	}
	return 0, os.Rename(part, dst)
}

func (c *Client) get(ctx context.Context, url string, f *os.File, have int64) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return -1, &Error{URL: url, Err: err}
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, &Error{URL: url, Err: err}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent:
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		if err := errors.Join(f.Truncate(0), seekStart(f)); err != nil {
			return -1, err
		}
		if resp.StatusCode != http.StatusOK {
			return 0, &Error{URL: url, Status: resp.StatusCode, Err: errors.New(resp.Status)}
		}
	default:
		return waitFor(resp), &Error{URL: url, Status: resp.StatusCode, Err: errors.New(resp.Status)}
	}
	_, err = io.Copy(f, &told{resp.Body, c.Progress})
	if errors.Is(err, fs.ErrClosed) {
		return -1, err
	}
	if err != nil {
		return 0, &Error{URL: url, Err: err}
	}
	return 0, nil
}

func seekStart(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// waitFor is how long to wait after an answer that is no success; below zero if asking again would not help.
func waitFor(resp *http.Response) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 {
		return -1
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		return min(time.Duration(s)*time.Second, time.Minute)
	}
	return 0
}

func check(f *os.File, want Sum) error {
	if err := seekStart(f); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); want.Size > 0 && n != want.Size || got != want.SHA256 {
		return fmt.Errorf("%w: got %d bytes with %s, want %d with %s", ErrWrongSum, n, got, want.Size, want.SHA256)
	}
	return nil
}

type told struct {
	io.Reader
	tell func(int64)
}

func (t *told) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if t.tell != nil {
		t.tell(int64(n))
	}
	return n, err
}
