package pack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	firstPoll = 5 * time.Millisecond
	mostPoll  = 200 * time.Millisecond
)

// lock waits until nobody else, in this process or another, holds the key. The kernel's own waiting would not end with
// the context.
func (s *Store) lock(ctx context.Context, key v1.Hash) (unlock func(), err error) {
	for wait := firstPoll; ; wait = min(2*wait, mostPoll) {
		unlock, err := s.tryLock(key)
		if unlock != nil || err != nil {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another build that unpacks the same archive: %w", ctx.Err())
		case <-time.After(wait):
		}
	}
}

// tryLock returns nil if somebody else holds the key.
func (s *Store) tryLock(key v1.Hash) (unlock func(), err error) {
	name := s.file(key, lockSuffix)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, diskError(fmt.Errorf("lock pack: %w", err))
	}
	switch err := flock(f); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, f.Close() //nolint:wrapcheck // names the file
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock pack: %w", err), f.Close())
	}
	if !same(f, name) { // removed by the one who held it
		return nil, f.Close() //nolint:wrapcheck // likewise
	}
	return func() {
		_ = os.Remove(name) // while it is locked; if it stays, it does no harm
		_ = f.Close()       // unlocks
	}, nil
}

func flock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EINTR {
			return err
		}
	}
}

// same reports whether the open file still has that name.
func same(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name)
	return err == nil && os.SameFile(a, b)
}
