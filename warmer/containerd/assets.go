package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/leases"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// keepAssets holds layers without an image that could be started.
func (r *Runtime) keepAssets(ctx context.Context, h warmer.Hold, i warmer.Image) error {
	if _, err := r.hold(ctx, h); err != nil {
		return err
	}
	// The lease of the pull has all of it while the other is made anew, which it is when the tag has moved.
	if err := r.addAssets(ctx, r.leaseID(work, h.Key), i); err != nil {
		return err
	}
	target, err := r.assetsTarget(ctx, h.Want)
	if err == nil && target.Digest != i.Target.Digest {
		err = r.end(ctx, r.leaseID(kept, h.Key))
	}
	if err != nil && !errors.Is(err, warmer.ErrNotFound) {
		return err
	}
	id, err := r.lease(ctx, kept, h.Key, map[string]string{labelRef: h.Want.Ref, labelPlatform: h.Want.Platform, labelTarget: string(i.Target.Digest)})
	if err != nil {
		return err
	}
	return r.addAssets(ctx, id, i)
}

func (r *Runtime) addAssets(ctx context.Context, id string, i warmer.Image) error {
	for kind, names := range r.assetsResources(i) {
		for _, name := range names {
			if err := r.add(ctx, id, kind, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// assetsResources are what a lease holds for an image's assets, by type.
func (r *Runtime) assetsResources(i warmer.Image) map[string][]string {
	blobs := []string{string(i.Target.Digest), string(i.Manifest.Digest), string(i.Config.Digest)}
	layers := warmer.Assets.Select(i.Layers)
	for _, l := range layers {
		blobs = append(blobs, string(l.Digest))
	}
	out := map[string][]string{"content": blobs}
	if len(layers) > 0 {
		out["snapshots/"+r.snapshotter] = []string{string(top(layers))}
	}
	return out
}

func (r *Runtime) assetsKept(ctx context.Context, w warmer.Want, i warmer.Image) (bool, error) {
	target, err := r.assetsTarget(ctx, w)
	if errors.Is(err, warmer.ErrNotFound) || err == nil && target.Digest != i.Target.Digest {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	held, err := r.heldBy(ctx, r.leaseID(kept, w.Key()))
	if err != nil {
		return false, err
	}
	for kind, names := range r.assetsResources(i) {
		for _, name := range names {
			if !slices.Contains(held[kind], name) {
				return false, nil
			}
		}
	}
	return true, nil
}

// assetsTarget is what the reference stood for when its assets were kept.
func (r *Runtime) assetsTarget(ctx context.Context, w warmer.Want) (warmer.Descriptor, error) {
	l, err := r.client.LeasesService().List(ctx, "id=="+r.leaseID(kept, w.Key()))
	if err != nil {
		return warmer.Descriptor{}, fmt.Errorf("leases: %w", problem(err))
	}
	if len(l) == 0 {
		return warmer.Descriptor{}, fmt.Errorf("assets of %s: %w", w.Ref, warmer.ErrNotFound)
	}
	return warmer.Descriptor{Digest: warmer.Digest(l[0].Labels[labelTarget])}, nil
}

// heldBy lists what a lease holds, by type.
func (r *Runtime) heldBy(ctx context.Context, id string) (map[string][]string, error) {
	resources, err := r.client.LeasesService().ListResources(ctx, leases.Lease{ID: id})
	if err != nil {
		return nil, fmt.Errorf("lease: %w", problem(err))
	}
	out := map[string][]string{}
	for _, x := range resources {
		out[x.Type] = append(out[x.Type], x.ID)
	}
	return out, nil
}
