package build

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
)

// known answers what bytes a layer key stands for, asking the cheapest witness first; the previous image is
// loaded at most once, and only when the others do not know.
type known struct {
	lock   *lock.Lock
	memory *memo.Layers
	load   func(context.Context) (*inspect.Image, error)

	loaded   bool
	previous *inspect.Image
	byKey    map[v1.Hash]compose.Layer
	digests  map[v1.Hash]bool // of previous's layers
}

// has reports whether the previous image, as far as it was loaded, has the layer.
func (k *known) has(digest v1.Hash) bool { return k.digests[digest] }

func (k *known) layer(ctx context.Context, key v1.Hash) (compose.Layer, bool, error) {
	if l, ok := lockedLayer(k.lock, key); ok {
		return l, true, nil
	}
	if l, ok := k.memory.Get(key); ok {
		return compose.Layer{Descriptor: l.Descriptor, DiffID: l.DiffID}, true, nil
	}
	if err := k.loadPrevious(ctx); err != nil {
		return compose.Layer{}, false, err
	}
	l, ok := k.byKey[key]
	return l, ok, nil
}

// nothing reports that there is no earlier build to compare with, so that keys need not be computed
// before the layers are made.
func (k *known) nothing(ctx context.Context) (bool, error) {
	if k.lock != nil {
		return false, nil
	}
	err := k.loadPrevious(ctx)
	return k.previous == nil, err
}

func (k *known) loadPrevious(ctx context.Context) (err error) {
	if k.loaded {
		return nil
	}
	if k.previous, err = k.load(ctx); err != nil {
		return err
	}
	k.loaded, k.byKey, k.digests = true, map[v1.Hash]compose.Layer{}, map[v1.Hash]bool{}
	if k.previous == nil {
		return nil
	}
	for _, p := range k.previous.Platforms {
		for _, l := range p.Layers {
			k.digests[l.Descriptor.Digest] = true
			if key, ok := l.Key(); ok {
				k.byKey[key] = l.Layer
			}
		}
	}
	return nil
}
