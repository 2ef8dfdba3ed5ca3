package image

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// Options are what a pipeline and its caller can say about an image. All are required.
type Options struct {
	// Ref is the image's name, as the user wrote it.
	Ref string
	// Store keeps the unpacked layers.
	Store *pack.Store
	// Open finds the repository that ref is in, and the tag or digest that it has there.
	Open func(ctx context.Context, ref string) (repository builder.Reader, reference string, err error)
}

// Source is an image that exists already.
type Source struct{ options Options }

// New makes a source of an image.
func New(options Options) *Source { return &Source{options: options} }

// Resolve pins the image and picks the platform's manifest. It returns a [builder.Error] of kind Input if the image is
// not there, has no such platform, or does not hold together.
func (s *Source) Resolve(ctx context.Context, platform v1.Platform) (builder.Resolved, error) {
	r, err := s.resolve(ctx, platform)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.options.Ref, err)
	}
	return r, nil
}

func (s *Source) resolve(ctx context.Context, platform v1.Platform) (*Resolved, error) {
	repository, reference, err := s.options.Open(ctx, s.options.Ref)
	if err != nil {
		return nil, err //nolint:wrapcheck // Resolve names the image
	}
	m := manifests{repository: repository}
	top, raw, err := m.get(ctx, reference)
	if errors.Is(err, builder.ErrNotFound) {
		return nil, builder.Errorf(builder.Input, "check the image's name and tag, and that it was pushed", "%w", err)
	}
	if err != nil {
		return nil, err
	}
	manifest, err := m.forPlatform(ctx, top, raw, platform)
	if err != nil {
		return nil, err
	}
	return &Resolved{
		options: &s.options, repository: repository,
		pin:      builder.Pin{Name: s.options.Ref, Digest: top.Digest},
		manifest: manifest.digest, layers: manifest.layers, config: manifest.config,
	}, nil
}
