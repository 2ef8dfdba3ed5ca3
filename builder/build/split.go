package build

import (
	"cmp"
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
	"github.com/pitcrew-dev/pitcrew/builder/split"
)

// split cuts the unit's tree into layers. Only the assets phase has a lock.
func (u *unit) split(ctx context.Context, req Request) error {
	prev := req.Lock
	if u.phase.Name != builder.Assets {
		prev = nil
	}
	var err error
	u.plan, err = split.Plan(ctx, u.tree, prev, split.Options{
		Layers: u.phase.Layers, MaxLayerSize: u.phase.MaxLayerSize, Codec: u.phase.Compression, Measure: layer.Sample,
	})
	if err != nil {
		return err
	}
	for _, part := range u.plan.Layers {
		codec, err := layer.ParseCodec(part.Codec)
		if err != nil {
			return err
		}
		l, err := layer.New(part.Entries, codec, req.created())
		if err != nil {
			return err
		}
		u.layers = append(u.layers, l)
	}
	return nil
}

// lockInto replaces what the lock says of the assets.
func (u *unit) lockInto(out *lock.Lock) error {
	out.Classes, out.Layers, out.Files, out.Gone = u.plan.Classes, nil, nil, nil
	for i, part := range u.plan.Layers {
		cl, err := u.composed(u.layers[i])
		if err != nil {
			return err
		}
		key, err := u.layers[i].Key()
		if err != nil {
			return err
		}
		out.Layers = append(out.Layers, lock.Layer{
			ID: part.ID, Kind: "base", Codec: part.Codec, Key: key,
			Digest: cl.Descriptor.Digest, DiffID: cl.DiffID, Size: cl.Descriptor.Size,
		})
		out.Files = append(out.Files, part.LockFiles()...)
	}
	out.Sort()
	return nil
}

// lockedLayer is the layer that the lock has for a key.
func lockedLayer(l *lock.Lock, key v1.Hash) (compose.Layer, bool) {
	if l == nil {
		return compose.Layer{}, false
	}
	have, ok := l.ByKey(key)
	if !ok {
		return compose.Layer{}, false
	}
	codec, err := layer.ParseCodec(cmp.Or(have.Codec, "none"))
	if err != nil {
		return compose.Layer{}, false
	}
	return compose.Layer{
		Descriptor: v1.Descriptor{MediaType: codec.MediaType(), Digest: have.Digest, Size: have.Size}, DiffID: have.DiffID,
	}, true
}
