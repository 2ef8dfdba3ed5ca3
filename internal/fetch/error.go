package fetch

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"syscall"
)

// Reason is why a download failed, for callers that branch on it.
type Reason int

// The reasons. What is not one of the others is [Unavailable].
const (
	Unavailable Reason = iota // the server or the network failed: another time it may work
	Refused                   // the server refused the credentials, or that there are none
	Missing                   // the server has no such file
	Wrong                     // the file is not the one that was asked for
	NoSpace                   // the disk is full
	BadURL                    // the URL, or one that it redirects to, is not http or https
)

// Error is a failed download.
type Error struct {
	URL    string // without what may be secret in it: password and query
	Status int    // of the last answer; 0 if there was none
	Reason Reason
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("get %s: %v", e.URL, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrWrongSum is matched when the bytes are not those that were asked for.
	ErrWrongSum = errors.New("the bytes do not have the expected size and sha256")

	errBadURL    = errors.New("only http and https URLs with a host can be downloaded")
	errRedirects = errors.New("too many redirects")
)

// newError completes an error about a URL.
func newError(rawURL string, status int, err error) *Error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the rest is the URL, with all its secrets
	}
	return &Error{URL: redact(rawURL), Status: status, Reason: reasonOf(status, err), Err: err}
}

func reasonOf(status int, err error) Reason {
	switch {
	case errors.Is(err, ErrWrongSum):
		return Wrong
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return NoSpace
	case errors.Is(err, errBadURL):
		return BadURL
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return Refused
	case http.StatusNotFound, http.StatusGone:
		return Missing
	default:
		return Unavailable
	}
}

// passing reports whether the failure may be over a moment later.
func (e *Error) passing() bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](e.Err); ok || e.Reason != Unavailable || errors.Is(e.Err, errRedirects) {
		return false
	}
	if _, ok := errors.AsType[*localError](e.Err); ok {
		return false
	}
	switch e.Status {
	case 0, http.StatusOK, http.StatusPartialContent, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusRequestedRangeNotSatisfiable:
		return true
	default:
		return e.Status >= 500
	}
}

// localError is a failure of this machine's disk.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// checkURL holds that the URL is one to download from.
func checkURL(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errBadURL
	}
	return nil
}

func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "a URL that is not well formed"
	}
	u.User = nil
	if u.RawQuery != "" {
		u.RawQuery = "..."
	}
	return u.String()
}
