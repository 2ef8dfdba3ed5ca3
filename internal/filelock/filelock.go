// Package filelock has locks that all goroutines and processes of a machine respect.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstPoll = 5 * time.Millisecond
	mostPoll  = 200 * time.Millisecond
)

// Lock waits for the lock on the file, which it makes and which stays, until the context ends: the kernel's own waiting
// would not. The lock is released by unlock, or when the process dies.
func Lock(ctx context.Context, name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for wait := firstPoll; ; wait = min(2*wait, mostPoll) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil // unlocks; nothing was written
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the lock %s: %w", name, ctx.Err()), f.Close())
		case <-time.After(wait):
		}
	}
}
