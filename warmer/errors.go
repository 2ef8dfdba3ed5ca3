package warmer

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNotFound is matched by errors about an image, a manifest or a blob that the registry does not have.
	ErrNotFound = errors.New("not found")
	// ErrDenied is matched by errors about credentials that are missing or refused.
	ErrDenied = errors.New("denied")
	// ErrUnavailable is matched by errors that may pass: the registry cannot be reached, is overloaded or broken.
	ErrUnavailable = errors.New("unavailable")
	// ErrNotSupported is matched by errors about something that this node or this version cannot do.
	ErrNotSupported = errors.New("not supported")
)

// RegistryError is an answer of a registry, or the lack of one.
type RegistryError struct {
	// Ref is what was asked for.
	Ref string
	// Registry is the host that was asked, which may be a mirror.
	Registry string
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// RetryAfter is how long the registry asks to be left alone; 0 when it does not say.
	RetryAfter time.Duration
	// Err is the cause; it may be nil.
	Err error
}

func (e *RegistryError) Error() string {
	s := e.Ref
	if e.Registry != "" {
		s += ": registry " + e.Registry
	}
	if e.Status != 0 {
		s += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *RegistryError) Unwrap() error { return e.Err }

// Is makes the status count as one of this package's errors. No answer at all is [ErrUnavailable], unless the cause says
// otherwise.
func (e *RegistryError) Is(target error) bool {
	switch e.Status {
	case 404, 410:
		return target == ErrNotFound
	case 401, 403:
		return target == ErrDenied
	case 408, 425, 429, 500, 502, 503, 504:
		return target == ErrUnavailable
	case 0:
		return target == ErrUnavailable && e.Err != nil && !errors.Is(e.Err, ErrNotFound) && !errors.Is(e.Err, ErrDenied) && !errors.Is(e.Err, ErrNotSupported)
	}
	return target == ErrUnavailable && e.Status >= 500
}

// DigestError says that a registry sent other bytes than those asked for. They were dropped.
type DigestError struct {
	Ref  string
	Want Digest
	// Got is the digest of what came, or what else was wrong with it.
	Got string
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s: blob %s is damaged (%s): dropped", e.Ref, e.Want, e.Got)
}
