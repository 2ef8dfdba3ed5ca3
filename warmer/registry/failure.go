package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// ErrContent is matched when a registry sends something else than was asked for: a manifest with another digest, a blob of
// another size, a range that is not the one.
var ErrContent = errors.New("the registry sends other content than was asked for")

var (
	errStalled   = errors.New("too little came for too long")
	errRedirects = errors.New("the redirects lead nowhere")
)

// failure is one attempt's.
type failure struct {
	status     int
	retryAfter time.Duration
	// reason is a word or two for metrics.
	reason string
	// final says that the same host would fail again.
	final bool
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// contentError is a failure that no repetition cures.
func contentError(format string, args ...any) *failure {
	return &failure{reason: "content", final: true, status: http.StatusOK, err: fmt.Errorf("%w: %w", ErrContent, fmt.Errorf(format, args...))}
}

// classify makes a failure of any error of an attempt.
func classify(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	switch {
	case errors.Is(err, warmer.ErrDenied):
		return &failure{reason: "denied", final: true, status: http.StatusUnauthorized, err: err}
	case errors.Is(err, errRedirects):
		return &failure{reason: "redirect", final: true, err: err}
	case errors.Is(err, errStalled), errors.Is(err, context.DeadlineExceeded):
		return &failure{reason: "stalled", err: err}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &failure{reason: "cut", err: err}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &failure{reason: "tls", final: true, err: err}
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return &failure{reason: "tls", err: err}
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return &failure{reason: "dns", err: err}
	}
	return &failure{reason: "connection", err: err}
}

// maxErrorBody bounds what is read of a registry's complaint.
const maxErrorBody = 8 << 10

// answerError makes a failure of an answer that is not a success, and closes it.
func answerError(resp *http.Response) *failure {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // the status is what matters
	f := &failure{status: resp.StatusCode, reason: strconv.Itoa(resp.StatusCode), final: true, err: errors.New(http.StatusText(resp.StatusCode) + complaint(body))}
	switch s := resp.StatusCode; {
	case s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s == http.StatusTooEarly, s >= 500 && s < 600:
		f.final, f.retryAfter = false, retryAfter(resp.Header.Get("Retry-After"))
	case s == http.StatusRequestedRangeNotSatisfiable:
		f.err = fmt.Errorf("%w: %w", ErrContent, f.err)
	case s < 200 || s > 599:
		f.reason = "status"
	}
	return f
}

// complaint is the registry's own error code and message, in one line that can be shown.
func complaint(body []byte) string {
	var e struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(body, &e) != nil || len(e.Errors) == 0 {
		return ""
	}
	const most = 300
	s := ": " + e.Errors[0].Code + ": " + e.Errors[0].Message
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return -1
		}
		return r
	}, s[:min(len(s), most)])
}

// retryAfter is how long the registry asks to be left alone: seconds or a date.
func retryAfter(v string) time.Duration {
	if s, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.Duration(min(max(s, 0), int64(mostRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), mostRetryAfter)
	}
	return 0
}

// registryError tells the caller.
func registryError(ref Reference, e *endpoint, f *failure) error {
	return &warmer.RegistryError{Ref: ref.String(), Registry: e.host.Name, Status: f.status, RetryAfter: f.retryAfter, Err: f.err}
}
