package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxSize bounds a file whose size is not known before.
const maxSize = 64 << 30

// download is one file's way from a server to the disk.
type download struct {
	client    *http.Client
	progress  func(int64)
	url, dst  string
	want      Sum
	validator string // of the bytes in the part, for If-Range; empty if they are of an earlier process
	mixed     bool   // the part may be of two versions of the file: the one there now and one before

	received   int64         // in all attempts
	retryAfter time.Duration // that the last answer asked for
}

// attempt makes one request, if something is missing, and puts the file into its place if it is whole then.
func (d *download) attempt(ctx context.Context) *Error {
	d.retryAfter = 0
	part := d.dst + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return newError(d.url, 0, &localError{err})
	}
	defer f.Close()
	status, err := d.complete(ctx, f)
	switch {
	case errors.Is(err, ErrWrongSum) && d.mixed:
		// Continued from what an earlier process got: the file may have changed on the server since.
		d.mixed = false
		if err = f.Truncate(0); err == nil {
			return d.attempt(ctx)
		}
	case errors.Is(err, ErrWrongSum):
		err = errors.Join(err, os.Remove(part))
	case err == nil:
		err = f.Close()
		if err == nil {
			err = os.Rename(part, d.dst)
		}
	}
	if err != nil {
		return newError(d.url, status, err)
	}
	return nil
}

// complete gets what is missing in f and checks the whole.
func (d *download) complete(ctx context.Context, f *os.File) (status int, err error) {
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, &localError{err}
	}
	if have == 0 || have != d.want.Size {
		if status, err = d.get(ctx, f, have); err != nil {
			return status, err
		}
	}
	return status, check(f, d.want)
}

// get appends the rest of the file to the first have bytes, or writes all of it if the server sends that.
func (d *download) get(ctx context.Context, f *os.File, have int64) (status int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(idle, func() { cancel(fmt.Errorf("the server sent nothing for %s", idle)) })
	defer watch.Stop()
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
	}()
	resp, err := d.request(ctx, have)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	have, err = d.accept(resp, f, have)
	if err != nil {
		return resp.StatusCode, err
	}
	return resp.StatusCode, d.receive(f, have, resp.Body, watch)
}

func (d *download) request(ctx context.Context, have int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, err //nolint:wrapcheck // newError completes it
	}
	req.Header.Set("Accept-Encoding", "identity") // or ranges and the sum are of something else
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if d.validator != "" {
			req.Header.Set("If-Range", d.validator)
		}
	}
	return d.client.Do(req) //nolint:wrapcheck // likewise
}

// accept tells from an answer's head how many of the bytes in f stay; f is cut to them.
func (d *download) accept(resp *http.Response, f *os.File, have int64) (int64, error) {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		from, total := contentRange(resp)
		if from != have {
			return 0, d.restart(f, fmt.Errorf("it sent bytes from %d on, not from %d", from, have))
		}
		d.mixed = d.mixed || d.validator == ""
		return have, d.checkLength(total)
	case http.StatusOK:
		d.mixed, d.validator = false, validator(resp)
		if err := f.Truncate(0); err != nil {
			return 0, &localError{err}
		}
		return 0, d.checkLength(resp.ContentLength)
	case http.StatusRequestedRangeNotSatisfiable:
		if _, total := contentRange(resp); total == have {
			d.mixed = true
			return have, nil // nothing was missing
		}
		return 0, d.restart(f, errors.New(resp.Status))
	default:
		d.retryAfter = retryAfter(resp)
		return 0, errors.New(resp.Status)
	}
}

// restart drops what arrived, so that the next attempt begins anew.
func (d *download) restart(f *os.File, err error) error {
	d.validator = ""
	if terr := f.Truncate(0); terr != nil {
		return &localError{terr}
	}
	return err
}

// checkLength compares the length that the server tells, below zero if it does not.
func (d *download) checkLength(n int64) error {
	if n >= 0 && d.want.Size > 0 && n != d.want.Size {
		return fmt.Errorf("%w: the server has %d bytes, want %d", ErrWrongSum, n, d.want.Size)
	}
	return nil
}

// receive writes the body behind the first have bytes of f.
func (d *download) receive(f *os.File, have int64, body io.Reader, watch *time.Timer) error {
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return &localError{err}
	}
	most := d.want.Size
	if most == 0 {
		most = maxSize
	}
	in := &arriving{r: body, d: d, watch: watch}
	n, err := io.Copy(&onDisk{f}, io.LimitReader(in, most-have+1))
	if err == nil && have+n > most {
		return fmt.Errorf("%w: got more than %d bytes", ErrWrongSum, most)
	}
	return err //nolint:wrapcheck // newError completes it
}

// arriving tells of the bytes that arrive.
type arriving struct {
	r     io.Reader
	d     *download
	watch *time.Timer
}

func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 {
		a.watch.Reset(idle)
		a.d.received += int64(n)
		if a.d.progress != nil {
			a.d.progress(int64(n))
		}
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}

// onDisk makes failures of the disk tell themselves from those of the network.
type onDisk struct{ f *os.File }

func (o *onDisk) Write(p []byte) (int, error) {
	n, err := o.f.Write(p)
	if err != nil {
		return n, &localError{err}
	}
	return n, nil
}

// validator is what names this version of the file; a weak tag does not.
func validator(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return resp.Header.Get("Last-Modified")
}

// contentRange is where the body begins and how large the file is, each -1 if the server does not tell.
func contentRange(resp *http.Response) (from, total int64) {
	span, size, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes "), "/")
	first, _, _ := strings.Cut(span, "-")
	return number(first), number(size)
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// retryAfter is how long the server asks to wait: seconds or a date.
func retryAfter(resp *http.Response) time.Duration {
	v := resp.Header.Get("Retry-After")
	if s := number(v); s >= 0 {
		return time.Duration(min(s, int64(mostRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), mostRetryAfter)
	}
	return 0
}
