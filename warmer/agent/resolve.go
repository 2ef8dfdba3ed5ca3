package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/manifest"
)

// resolve finds out what a reference stands for and sees to it that the node has its documents. What the node has is not
// asked for again.
func (a *Agent) resolve(ctx context.Context, h warmer.Hold, known warmer.Known) (warmer.Known, error) {
	r := a.resolver(h)
	if _, err := warmer.ParseReference(h.Want.Ref); err != nil {
		return known, fmt.Errorf("%w: %w", err, manifest.ErrInvalid)
	}
	target, err := a.o.Registry.Resolve(ctx, h.Want.Ref)
	if err != nil {
		return known, fmt.Errorf("resolve %s: %w", h.Want.Ref, err)
	}
	if known.Target.Digest == target.Digest && len(known.Layers) > 0 {
		known.Checked = time.Now()
		return known, nil
	}
	image, err := r.image(ctx, target)
	if err != nil {
		return known, fmt.Errorf("resolve %s: %w", h.Want.Ref, err)
	}
	if h.Want.Layers == warmer.Assets && len(h.Want.Layers.Select(image.Layers)) == 0 {
		return known, fmt.Errorf("resolve %s: no layer at its bottom is called assets (dev.pitcrew.phase): %w", h.Want.Ref, warmer.ErrNotSupported)
	}
	return warmer.Known{Image: image, Checked: time.Now()}, nil
}

// resolver reads one image's documents.
type resolver struct {
	agent    *Agent
	hold     warmer.Hold
	platform string
	offline  bool
}

func (a *Agent) resolver(h warmer.Hold) *resolver {
	r := &resolver{agent: a, hold: h, platform: h.Want.Platform}
	if r.platform == "" {
		r.platform = a.o.Platform
	}
	return r
}

// remembered is what the node has under a reference while the registry cannot be asked.
func (a *Agent) remembered(ctx context.Context, h warmer.Hold) (warmer.Known, error) {
	target, err := a.o.Runtime.Target(ctx, h.Want)
	if err != nil {
		return warmer.Known{}, err
	}
	r := a.resolver(h)
	r.offline = true
	image, err := r.image(ctx, target)
	return warmer.Known{Image: image}, err
}

func (r *resolver) image(ctx context.Context, target warmer.Descriptor) (warmer.Image, error) {
	data, target, err := r.manifest(ctx, target)
	if err != nil {
		return warmer.Image{}, err
	}
	index, err := manifest.IsIndex(target, data)
	if err != nil {
		return warmer.Image{}, err
	}
	chosen := target
	if index {
		if chosen, err = manifest.Select(target.Digest, data, r.platform); err != nil {
			return warmer.Image{}, err
		}
		if data, chosen, err = r.manifest(ctx, chosen); err != nil {
			return warmer.Image{}, err
		}
	}
	return manifest.Image(target, chosen, data, r.platform, func(d warmer.Descriptor) ([]byte, error) { return r.config(ctx, d) })
}

// manifest reads an index or a manifest from the node, or else from the registry.
func (r *resolver) manifest(ctx context.Context, d warmer.Descriptor) ([]byte, warmer.Descriptor, error) {
	data, err := r.agent.o.Runtime.Read(ctx, d)
	if err != nil && (r.offline || !errors.Is(err, warmer.ErrNotFound)) {
		return nil, d, err
	}
	there := err == nil
	if !there {
		if data, d, err = r.agent.o.Registry.Manifest(ctx, r.hold.Want.Ref, d); err != nil {
			return nil, d, err
		}
	}
	d.Size = int64(len(data))
	if d.MediaType == "" {
		d.MediaType = manifest.MediaType(data)
	}
	if there {
		return data, d, nil
	}
	children, err := manifest.Children(d.Digest, data)
	if err != nil {
		return nil, d, err
	}
	return data, d, r.agent.o.Runtime.Put(ctx, r.hold, d, data, children)
}

func (r *resolver) config(ctx context.Context, d warmer.Descriptor) ([]byte, error) {
	data, err := r.agent.o.Runtime.Read(ctx, d)
	if err == nil || r.offline || !errors.Is(err, warmer.ErrNotFound) {
		return data, err
	}
	from, err := r.agent.o.Registry.Blob(ctx, r.hold.Want.Ref, d, 0)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	if data, err = io.ReadAll(io.LimitReader(from, manifest.MaxBytes+1)); err != nil {
		return nil, err
	}
	if len(data) > manifest.MaxBytes || d.Size > 0 && int64(len(data)) != d.Size {
		return nil, &warmer.DigestError{Ref: r.hold.Want.Ref, Want: d.Digest, Got: fmt.Sprintf("%d bytes instead of %d", len(data), d.Size)}
	}
	return data, r.agent.o.Runtime.Put(ctx, r.hold, d, data, nil)
}
