package build

import (
	"cmp"
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
	"github.com/pitcrew-dev/pitcrew/builder/profile"
	"github.com/pitcrew-dev/pitcrew/builder/split"
)

// split cuts the unit's tree into layers. Only the assets phase has a lock.
func (u *unit) split(ctx context.Context, req Request, others map[string]bool, lost map[int]bool) error {
	prev := req.Lock
	if u.phase.Name != builder.Assets {
		prev = nil
	}
	o := split.Options{
		Layers: u.phase.Layers, MaxLayerSize: u.phase.MaxLayerSize, MaxDeltas: u.phase.MaxDeltas, Codec: u.phase.Compression, Measure: layer.Sample,
		Others: others, Lost: lost, Whole: u.whole,
	}
	if u.whole != nil {
		own := u.phase.Profile
		if own == nil {
			own = &profile.Profile{Name: profile.Full}
		}
		o.Group = profile.Groups(own, u.phase.Profiles, *u.whole)
	}
	var err error
	if u.plan, err = split.Plan(ctx, u.tree, prev, o); err != nil {
		return err
	}
	u.layers = nil
	for _, part := range u.plan.Layers {
		l, err := newLayer(part, req)
		if err != nil {
			return err
		}
		u.layers = append(u.layers, l)
	}
	return nil
}

func newLayer(part split.Layer, req Request) (*layer.Layer, error) {
	codec, err := layer.ParseCodec(part.Codec)
	if err != nil {
		return nil, err
	}
	switch {
	case part.Known != nil:
		return knownLayer(part, codec, req)
	case part.Kind == builder.KindDelta:
		return layer.NewDelta(part.Entries, part.Gone, codec, req.created())
	default:
		return layer.New(part.Entries, codec, req.created())
	}
}

// knownLayer stays as the lock says. If the sources still give the same bytes it can be made again, should a repository
// lack it.
func knownLayer(part split.Layer, codec layer.Codec, req Request) (*layer.Layer, error) {
	d := v1.Descriptor{MediaType: codec.MediaType(), Digest: part.Known.Digest, Size: part.Known.Size}
	existing := layer.Existing(d, part.Known.DiffID, part.Known.Key, codec)
	if part.Entries == nil && len(part.Gone) == 0 {
		return existing, nil
	}
	known := part.Known.Key
	part.Known = nil
	l, err := newLayer(part, req)
	if err != nil {
		return nil, err
	}
	key, err := l.Key()
	if err != nil {
		return nil, err
	}
	if key != known {
		return existing, nil
	}
	if !req.remake {
		diffID, _ := existing.DiffID()
		l.SetKnown(d, diffID)
	}
	return l, nil
}

// lockInto replaces what the lock says of the assets.
func (u *unit) lockInto(out *lock.Lock) error {
	out.Classes, out.Layers, out.Files, out.Gone = u.plan.Classes, nil, nil, nil
	for i, part := range u.plan.Layers {
		cl, err := u.composed(i)
		if err != nil {
			return err
		}
		key, err := u.layers[i].Key()
		if err != nil {
			return err
		}
		out.Layers = append(out.Layers, lock.Layer{
			ID: part.ID, Kind: part.Kind, Codec: part.Codec, Key: key,
			Digest: cl.Descriptor.Digest, DiffID: cl.DiffID, Size: cl.Descriptor.Size,
		})
		out.Files = append(out.Files, u.plan.LockFiles(i)...)
		for _, p := range part.Gone {
			out.Gone = append(out.Gone, lock.Gone{Layer: part.ID, Path: p})
		}
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
