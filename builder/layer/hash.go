package layer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Hash computes the digests that files lack, at most workers at a time. It reads nothing of the others.
func Hash(ctx context.Context, files iter.Seq[*builder.Entry], workers int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, workers))
	for e := range files {
		if e.SHA256 != (v1.Hash{}) {
			continue
		}
		g.Go(func() error {
			sum := sha256.New()
			if err := copyContent(ctx, sum, e); err != nil {
				return err
			}
			learn(e, sum)
			return nil
		})
	}
	return g.Wait()
}

// Sample compresses a file's first limit bytes with zstd and says how many bytes went in and came out.
func Sample(ctx context.Context, e *builder.Entry, limit int64) (in, out int64, err error) {
	body, err := e.Content.Open()
	if err != nil {
		return 0, 0, contentError(e, err)
	}
	defer func() { _ = body.Close() }() // a sample proves nothing about the file: WriteTo will
	var n counter
	enc, release, err := Zstd.encoder(&n)
	if err != nil {
		return 0, 0, err
	}
	defer release()
	if in, err = io.Copy(enc, io.LimitReader(body, limit)); err != nil {
		return 0, 0, fmt.Errorf("sample %s: %w", e.Path, err)
	}
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	if err := enc.Close(); err != nil {
		return 0, 0, err
	}
	return in, int64(n), nil
}
