package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"gocloud.dev/blob"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/internal/filelock"
)

// How objects are read.
const (
	parallel  = 8        // requests at a time
	rangeSize = 16 << 20 // bytes of an object that one request asks for
	headway   = 1 << 20  // bytes behind which a failure is not counted as another one
)

// fetcher gets objects of one location into the cache.
type fetcher struct {
	options  *Options
	location Location
	bucket   *blob.Bucket
	cache    cache
	slots    chan struct{} // one for each request
}

func (f *fetcher) file(o *object) string { return f.cache.file(f.location.store(), o) }

// find returns an object that was fetched before.
func (f *fetcher) find(o *object) (*kept, bool) { return f.cache.find(f.file(o), o.size) }

// all fetches what is not there, several objects at a time, and returns all in the order of the objects.
func (f *fetcher) all(ctx context.Context, objects []object) ([]*kept, error) {
	out := make([]*kept, len(objects))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range objects {
		if k, ok := f.find(&objects[i]); ok {
			out[i] = k
			continue
		}
		group.Go(func() (err error) {
			out[i], err = f.one(ctx, &objects[i])
			return err
		})
	}
	return out, group.Wait()
}

// one fetches an object. One process at a time does; others wait and find it.
func (f *fetcher) one(ctx context.Context, o *object) (*kept, error) {
	file := f.file(o)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, diskError(err)
	}
	unlock, err := filelock.Lock(ctx, file+".lock")
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	defer unlock()
	if k, ok := f.find(o); ok {
		return k, nil
	}
	part := file + ".part"
	if err := f.download(ctx, o, part); err != nil {
		return nil, err
	}
	if err := f.verify(ctx, o, part); err != nil {
		return nil, errors.Join(err, f.forget(part))
	}
	k, err := f.cache.keep(part, file, o.size)
	if err != nil {
		return nil, diskError(err)
	}
	return k, removed(part + rangesSuffix)
}

func (f *fetcher) forget(part string) error {
	return errors.Join(removed(part), removed(part+rangesSuffix))
}

func removed(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err //nolint:wrapcheck // names the file
	}
	return nil
}

// download fills part with the ranges of an object that no earlier attempt got.
func (f *fetcher) download(ctx context.Context, o *object, part string) (err error) {
	out, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return diskError(err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	done, err := openRanges(part + rangesSuffix)
	if err != nil {
		return diskError(err)
	}
	defer func() { err = errors.Join(err, done.Close()) }()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range (o.size + rangeSize - 1) / rangeSize {
		if done.has[i] {
			continue
		}
		group.Go(func() error {
			select {
			case f.slots <- struct{}{}:
				defer func() { <-f.slots }()
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := f.span(ctx, o, out, i*rangeSize, min((i+1)*rangeSize, o.size)); err != nil {
				return err
			}
			return done.add(i)
		})
	}
	return group.Wait()
}

// span reads the bytes from one place to another, going on where a connection was cut.
func (f *fetcher) span(ctx context.Context, o *object, out io.WriterAt, from, to int64) error {
	at := from
	for failures := 0; ; failures++ {
		n, err := f.read(ctx, o, io.NewOffsetWriter(out, at), at, to)
		at += n
		if err == nil {
			return nil
		}
		if n >= headway {
			failures = 0
		}
		if failures+1 >= attempts || !passing(ctx, f.bucket, err) {
			return failed(ctx, f.bucket, err, fmt.Sprintf("read object %.200q of %s", o.key, f.location))
		}
		select {
		case <-time.After(f.options.wait(failures + 1)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read makes one request and returns how many bytes it got.
func (f *fetcher) read(ctx context.Context, o *object, to io.Writer, from, end int64) (n int64, err error) {
	length := end - from
	if from == 0 && end == o.size {
		length = -1 // the whole object: the SDK checks its checksum, if it has one
	}
	r, err := f.bucket.NewRangeReader(ctx, o.key, from, length, &blob.ReaderOptions{BeforeRead: o.pinned})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if err := o.isStill(r, r.Size()); err != nil {
		return 0, err
	}
	n, err = io.Copy(disk{to}, io.LimitReader(r, end-from))
	if err == nil && length < 0 {
		_, err = io.Copy(io.Discard, r) // the checksum is looked at behind the last byte
	}
	if err == nil && n < end-from {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// disk makes failures of the disk tell themselves from those of the network.
type disk struct{ w io.Writer }

func (d disk) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err != nil {
		err = diskError(err)
	}
	return n, err
}

func diskError(err error) error {
	hint := "name a folder that can be written with --cache-dir"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		hint = "free some space, or name another folder with --cache-dir"
	}
	return builder.Errorf(builder.Input, hint, "keep objects: %w", err)
}

// wait is how long to wait before the next attempt: a random part of a bound that doubles.
func (o *Options) wait(attempt int) time.Duration {
	bound := min(firstWait<<min(attempt, 10), mostWait)
	if o.Wait > 0 {
		bound = o.Wait
	}
	return rand.N(bound) //nolint:gosec // no secret
}

const rangesSuffix = ".ranges"

// ranges remember which parts of a file are there, over the death of the process: a line for each.
type ranges struct {
	mu   sync.Mutex
	file *os.File
	has  map[int64]bool
}

func openRanges(name string) (*ranges, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	r := &ranges{file: f, has: map[int64]bool{}}
	raw, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for line := range strings.Lines(string(raw)) {
		number, whole := strings.CutSuffix(line, "\n")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && whole {
			r.has[n] = true
		}
	}
	return r, nil
}

func (r *ranges) add(n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := fmt.Fprintf(r.file, "%d\n", n); err != nil {
		return diskError(err)
	}
	return nil
}

func (r *ranges) Close() error { return r.file.Close() } //nolint:wrapcheck // names the file
