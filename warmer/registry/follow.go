package registry

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"
)

const (
	maxRedirects = 10
	maxLocation  = 16 << 10
	userAgent    = "pitcrew-warmer"
)

// follow makes a request and follows redirects. The private headers go to the host of the first URL only, and not there
// either once a redirect has led elsewhere.
func (e *endpoint) follow(req *http.Request, private http.Header) (*http.Response, error) {
	header := req.Header
	if header == nil {
		header = http.Header{}
	}
	header.Set("User-Agent", userAgent)
	header.Set("Accept-Encoding", "identity")
	first, away := *req.URL, false
	for range maxRedirects {
		away = away || req.URL.Scheme != first.Scheme || req.URL.Host != first.Host
		req.Header = header.Clone()
		if !away {
			maps.Copy(req.Header, private)
		}
		resp, err := e.send(req)
		if err != nil {
			return nil, err
		}
		next, err := redirect(resp)
		if err != nil || next == nil {
			return resp, err
		}
		discard(resp)
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			return nil, fmt.Errorf("%w: a %s cannot be redirected", errRedirects, req.Method)
		}
		again := req.Clone(req.Context())
		again.URL, again.Host = next, ""
		req = again
	}
	return nil, fmt.Errorf("%w: more than %d", errRedirects, maxRedirects)
}

// redirect is where the answer sends us; nil if it does not. With an error the answer is closed.
func redirect(resp *http.Response) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil //nolint:nilnil // the contract
	}
	location := resp.Header.Get("Location")
	next, err := resp.Request.URL.Parse(location)
	switch {
	case location == "" || len(location) > maxLocation || err != nil || next.Hostname() == "" || next.User != nil:
		err = fmt.Errorf("%w: no usable Location", errRedirects)
	case next.Scheme != "https" && next.Scheme != "http":
		err = fmt.Errorf("%w: neither http nor https", errRedirects)
	case next.Scheme == "http" && resp.Request.URL.Scheme == "https":
		err = fmt.Errorf("%w: from TLS to %s without", errRedirects, next.Host)
	default:
		next.Fragment = ""
		return next, nil
	}
	discard(resp)
	return nil, err
}

// leastProgress is how much must come while one waits for Stall: who sends a byte now and then is stalled, too.
const leastProgress = 16 << 10

// send makes one request, which is cut when too little comes for too long.
func (e *endpoint) send(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watched{ctx: ctx, cancel: cancel, stall: e.c.o.Stall, left: e.c.o.Stall}
	w.timer = time.AfterFunc(w.stall, func() { cancel(errStalled) })
	resp, err := e.rt.RoundTrip(req.WithContext(ctx))
	w.timer.Stop()
	if err != nil {
		err = w.cause(err)
		cancel(nil)
		return nil, err
	}
	resp.Request = req
	w.body = resp.Body
	resp.Body = w
	return resp, nil
}

// watched is an answer's body. The time between reads does not count: then it is the other side that waits.
type watched struct {
	ctx    context.Context //nolint:containedctx // the request's, which ends with the body
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	left   time.Duration // of stall, until leastProgress
	got    int           // towards leastProgress
	body   io.ReadCloser
}

func (w *watched) Read(p []byte) (int, error) {
	begin := time.Now()
	w.timer.Reset(w.left)
	n, err := w.body.Read(p)
	w.timer.Stop()
	w.left -= time.Since(begin)
	if w.got += n; w.got >= leastProgress {
		w.got, w.left = 0, w.stall
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a reader returns it as it is
		err = w.cause(err)
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}

func (w *watched) Close() error {
	w.timer.Stop()
	err := w.body.Close()
	w.cancel(nil)
	return err //nolint:wrapcheck // a reader passes errors on
}

// cause says why the request was cut, if that was our doing.
func (w *watched) cause(err error) error {
	if cause := context.Cause(w.ctx); cause != nil {
		return cause //nolint:wrapcheck // ours, or the caller's own
	}
	return err
}
