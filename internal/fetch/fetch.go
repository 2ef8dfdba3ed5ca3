package fetch

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Sum is what the file must be.
type Sum struct {
	SHA256 string // lower case hexadecimal
	Size   int64  // bytes; 0 means unknown, and at most 64 GiB
}

// Client downloads files. The zero Client is ready to use.
type Client struct {
	// HTTP makes the requests; nil means http.DefaultClient. Its CheckRedirect is not asked.
	HTTP *http.Client
	// Retries is how often a download that may succeed later is tried again, since it last got on; 0 means 5, and less
	// than 0 never.
	Retries int
	// Progress is told how many bytes arrived, as they do, from the goroutine that called File. What arrives again
	// after the server changed the file is told again. It may be nil.
	Progress func(n int64)
}

const (
	defaultRetries = 5
	maxRedirects   = 10
	firstWait      = 500 * time.Millisecond
	mostWait       = 30 * time.Second
	mostRetryAfter = 2 * time.Minute
	// idle is how long a server may send nothing.
	idle = time.Minute
	// headway is so much of a file that a cut behind it is not counted as another failure.
	headway = 1 << 20
)

// File downloads url to dst, unless dst is there with the wanted sum. What an earlier call got is in dst+".part" and is
// continued. Cut connections, answers 408, 425, 429 and 5xx, and a server that sends nothing for a minute are tried
// again, after a wait that grows, or as long as the server asks for, up to two minutes.
//
// On failure dst is as before and the error is an [*Error], or the context's. What arrived stays for the next call unless
// its sum is wrong. At most one call may work on a dst at a time.
func (c *Client) File(ctx context.Context, rawURL string, want Sum, dst string) error {
	u, err := url.Parse(rawURL)
	if err == nil {
		err = checkURL(u)
	}
	if err != nil {
		return &Error{URL: redact(rawURL), Reason: BadURL, Err: errBadURL}
	}
	if isThere(want, dst) {
		return nil
	}
	d := &download{client: c.http(), progress: c.Progress, url: rawURL, want: want, dst: dst}
	bound := firstWait
	for failures := 0; ; failures++ {
		before := d.received
		err := d.attempt(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err() //nolint:wrapcheck // the caller's own
		}
		if d.received-before >= headway {
			failures, bound = 0, firstWait
		}
		if !err.passing() || failures >= c.retries() {
			return err
		}
		if err := pause(ctx, max(d.retryAfter, rand.N(bound))); err != nil { //nolint:gosec // no secret
			return err
		}
		bound = min(2*bound, mostWait)
	}
}

func (c *Client) retries() int {
	if c.Retries == 0 {
		return defaultRetries
	}
	return max(c.Retries, 0)
}

// http is the client with our rule for redirects.
func (c *Client) http() *http.Client {
	client := http.DefaultClient
	if c.HTTP != nil {
		client = c.HTTP
	}
	own := *client
	own.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return errRedirects
		}
		return checkURL(r.URL)
	}
	return &own
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own
	case <-time.After(d):
		return nil
	}
}

func isThere(want Sum, dst string) bool {
	f, err := os.Open(dst)
	if err != nil {
		return false
	}
	defer f.Close()
	return check(f, want) == nil
}
