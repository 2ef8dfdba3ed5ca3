package cli

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"unicode"
)

const (
	failed = 1
	misuse = 2
)

type hinter interface {
	error
	HintText() string
}

// Exit ends a command with an exit code that is an answer, not a failure: nothing is printed.
type Exit int //nolint:errname // an answer

func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// ExitCode is the process's exit code.
func (e Exit) ExitCode() int { return int(e) }

type exitCoder interface {
	error
	ExitCode() int
}

// usageError is a fault of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode is what the error says, unless it is a child process's status: that is not ours.
func exitCode(err error) int {
	if c, ok := errors.AsType[exitCoder](err); ok {
		if _, child := c.(*exec.ExitError); !child && c.ExitCode() > 0 {
			return c.ExitCode()
		}
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return misuse
	}
	return failed
}

func printError(w io.Writer, name string, err error) {
	if _, answered := errors.AsType[Exit](err); answered {
		return
	}
	fmt.Fprintf(w, "%s: error: %s\n", name, harmless(err.Error()))
	if h, ok := errors.AsType[hinter](err); ok && h.HintText() != "" {
		fmt.Fprintf(w, "%s: hint: %s\n", name, harmless(h.HintText()))
	}
}

// harmless replaces what a terminal might obey: errors quote names from archives and answers from registries.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
