package build

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
)

// The lock as an artifact beside the image: see docs/contract.md.
const (
	lockArtifact = "application/vnd.dev.pitcrew.assets-lock.v1"
	lockPart     = "application/vnd.dev.pitcrew.assets-lock.v1+zstd"
	maxLock      = 256 << 20 // bytes of text in one part
)

// attachLock stores the lock beside the image, so that the next build can go on from the registry alone. Of its parts only
// those are sent that changed.
func (r *run) attachLock(ctx context.Context, to *attach.Batch) error {
	l, err := r.newLock()
	if err != nil || l == nil || len(l.Layers) == 0 {
		return err
	}
	return attachLock(ctx, to, l)
}

// attachLock stores the lock that the composer was given, if it is of the image's layers.
func (c *composer) attachLock(layers []compose.Layer) attachment {
	return func(ctx context.Context, to *attach.Batch) error {
		if c.req.Lock == nil || differs(c.req.Lock, layers) != "" {
			return nil
		}
		return attachLock(ctx, to, c.req.Lock)
	}
}

func attachLock(ctx context.Context, to *attach.Batch, l *lock.Lock) error {
	texts, err := l.Parts()
	if err != nil {
		return err
	}
	parts, err := attach.Pack(lockPart, texts...)
	if err != nil {
		return err
	}
	if _, err := to.Put(ctx, lockArtifact, parts); err != nil {
		return fmt.Errorf("attach the lock: %w", err)
	}
	return nil
}

// attachedLock is the lock beside an image, or nil: if there is none, or, with a warning, if it is damaged. A lock of other
// layers than the image's is an Input error.
func (r *run) attachedLock(ctx context.Context, repo builder.Reader, img *inspect.Image) (*lock.Lock, error) {
	l, err := readLock(ctx, repo, img.Descriptor.Digest)
	if err != nil {
		if kind := builder.KindOf(err); ctx.Err() != nil || kind == builder.Transient || kind == builder.Auth {
			return nil, err // says nothing about the lock
		}
		r.Log.Warn("the lock beside the image cannot be read: layers are planned afresh", "image", img.Descriptor.Digest.String(), "err", err)
		return nil, nil
	}
	if l == nil {
		return nil, nil
	}
	return l, describes(l, img)
}

func readLock(ctx context.Context, repo builder.Reader, image v1.Hash) (*lock.Lock, error) {
	texts, err := attach.ReadPacked(ctx, repo, image, lockArtifact, maxLock)
	if errors.Is(err, builder.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return lock.Parse("the lock beside "+image.String(), lock.Join(texts))
}

// describes holds that a lock has the layers of the image that it is attached to.
func describes(l *lock.Lock, img *inspect.Image) error {
	const hint = "build with --compact, which plans all layers afresh, or with the lock file of the build that made the image"
	for _, p := range img.Platforms {
		part, ok := p.Part(builder.Assets)
		if !ok {
			continue
		}
		if difference := differs(l, part.Layers); difference != "" {
			return builder.Errorf(builder.Input, hint, "the lock beside %s is not the image's: %s", img.Descriptor.Digest, difference)
		}
	}
	return nil
}

// differs says in what a lock's layers are not these asset layers; "" if they are.
func differs(l *lock.Lock, layers []compose.Layer) string {
	if len(layers) != len(l.Layers) {
		return fmt.Sprintf("it has %d layers, the image's assets have %d", len(l.Layers), len(layers))
	}
	for i, have := range layers {
		if want := l.Layers[i]; want.Digest != have.Descriptor.Digest {
			return fmt.Sprintf("asset layer %d is %s, the image has %s", i, want.Digest, have.Descriptor.Digest)
		}
	}
	return ""
}

// takeLock finds the lock that the request does not have: beside the image that it goes on from.
func (r *run) takeLock(ctx context.Context) error {
	if r.req.Lock != nil || r.req.Compact || r.req.remake {
		return nil
	}
	if err := r.known.loadPrevious(ctx); err != nil || r.known.previous == nil {
		return err
	}
	from, err := r.origin()
	if err != nil {
		return err
	}
	r.req.Lock, err = r.attachedLock(ctx, from.Repository, r.known.previous)
	r.known.lock = r.req.Lock
	return err
}
