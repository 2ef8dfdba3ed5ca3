package build

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// nowhere is a repository that keeps nothing: what is put into it is made and thrown away.
type nowhere struct{}

func (nowhere) Name() string { return "nowhere" }

func (nowhere) Manifest(_ context.Context, reference string) (v1.Descriptor, []byte, error) {
	return v1.Descriptor{}, nil, fmt.Errorf("manifest %s: %w", reference, builder.ErrNotFound)
}

func (nowhere) Head(_ context.Context, reference string) (v1.Descriptor, error) {
	return v1.Descriptor{}, fmt.Errorf("manifest %s: %w", reference, builder.ErrNotFound)
}

func (nowhere) OpenBlob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return nil, fmt.Errorf("blob %s: %w", d.Digest, builder.ErrNotFound)
}
func (nowhere) HasBlob(context.Context, v1.Descriptor) (bool, error) { return false, nil }

func (nowhere) PutBlob(ctx context.Context, blob builder.Blob, _ ...string) (builder.Put, error) {
	if d, ok := blob.Descriptor(); ok {
		return builder.Put{Descriptor: d, Transfer: builder.Reused}, nil
	}
	d, err := blob.WriteTo(ctx, io.Discard)
	return builder.Put{Descriptor: d, Transfer: builder.Pushed}, err
}

func (nowhere) PutManifest(_ context.Context, mediaType string, _ []byte) (v1.Descriptor, error) {
	return v1.Descriptor{MediaType: types.MediaType(mediaType)}, nil
}

func (nowhere) Tag(context.Context, string, v1.Descriptor, []byte) error { return nil }

// Rebuild makes every layer anew, from the sources and the lock alone, and publishes nothing: what the result's digest is
// compared with shows whether an image is what its sources say. A layer that holds files which are no longer in the sources
// is taken as the lock has it.
func (b *Builder) Rebuild(ctx context.Context, req Request) (*Result, error) {
	anew := *b
	anew.Open = func(string) (builder.Repository, error) { return nowhere{}, nil }
	anew.Layers = nil
	req.remake = true
	req.Budgets = Budgets{}
	return anew.Build(ctx, req)
}
