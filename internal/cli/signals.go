package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that a signal ended.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return "stopped by signal: " + e.signal.String() }

// ExitCode is a shell's for a process that died of the signal.
func (e signalError) ExitCode() int { return 128 + int(e.signal) }

// notify cancels the context on the first SIGINT or SIGTERM and then leaves signals to their default, which ends the
// process. stop undoes it and waits for its goroutine.
func notify(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() { // it ends with the context: stop cancels it and waits
		defer close(done)
		defer signal.Stop(signals)
		select {
		case s := <-signals:
			signal.Stop(signals) // ahead of cancel: who sees the context end may rely on the next signal
			cancel(signalError{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}

// explain makes a command's error one of the signal that came first: what fails in its wake (a killed child, a cut
// connection) is its doing.
func explain(ctx context.Context, err error) error {
	s, ok := errors.AsType[signalError](context.Cause(ctx))
	if !ok {
		return err
	}
	return fmt.Errorf("%w: %s", s, err.Error()) // not wrapped: err's own exit code and hint do not count
}
