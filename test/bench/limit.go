package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// limit is what the machine takes for the least that a pull does: to read what the registry has, sha256 and write it. All
// processors work on it.
func limit(ctx context.Context, files []string, dir string) (seconds, mb float64, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := exec.CommandContext(ctx, "sync").Run(); err != nil {
		return 0, 0, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan int)
	began := time.Now()
	for range runtime.NumCPU() {
		wg.Go(func() {
			for i := range work {
				n, cerr := copyHashed(files[i], filepath.Join(dir, strconv.Itoa(i)))
				mu.Lock()
				mb += float64(n) / 1e6
				err = errors.Join(err, cerr)
				mu.Unlock()
			}
		})
	}
	for i := range files {
		work <- i
	}
	close(work)
	wg.Wait()
	return time.Since(began).Seconds(), mb, err
}

func copyHashed(from, to string) (n int64, err error) {
	src, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	return io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(dst, sha256.New())}, src, make([]byte, 1<<20))
}
