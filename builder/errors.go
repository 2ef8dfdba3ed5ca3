package builder

import (
	"errors"
	"fmt"
)

var (
	// ErrChanged is matched by errors about content that changed while it was being used.
	ErrChanged = errors.New("changed while it was being read")
	// ErrNotFound is matched by errors about a manifest, tag or blob that is not there.
	ErrNotFound = errors.New("not found")
)

// Kind says whose fault an error is. Its value is the process's exit code.
type Kind int

// The kinds of error that scripts branch on. Anything else is [Internal].
const (
	Internal  Kind = 1 // a bug or an unforeseen failure of this machine
	Config    Kind = 2 // usage, or the pipeline file
	Input     Kind = 3 // a source is missing, damaged, hostile, or changed while being read
	Auth      Kind = 4 // a registry or mirror refused the credentials
	Transient Kind = 5 // a registry or mirror failed in a way that may pass: try again
	Policy    Kind = 6 // a limit or budget
)

// Error is an error with its [Kind] and, where we know one, the way out.
type Error struct {
	Kind Kind
	Err  error
	Hint string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ExitCode is the process exit code for this error.
func (e *Error) ExitCode() int { return int(e.Kind) }

// HintText is what the user can do about it; it may be empty.
func (e *Error) HintText() string { return e.Hint }

// Errorf makes an [Error]. The format may wrap with %w.
func Errorf(kind Kind, hint, format string, args ...any) *Error {
	return &Error{Kind: kind, Hint: hint, Err: fmt.Errorf(format, args...)}
}

// KindOf is the kind of the outermost [Error] in err's chain, or [Internal].
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
