package containerd

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	labels, err := r.assetsLabels(ctx, h.Want)
	if err == nil && !assetsAsWanted(labels, h.Want, i) {
		err = r.end(ctx, r.leaseID(kept, h.Key))
	}
	if err != nil && !errors.Is(err, warmer.ErrNotFound) {
		return err
	}
	labels = map[string]string{labelRef: h.Want.Ref, labelPlatform: h.Want.Platform, labelTarget: string(i.Target.Digest)}
	if h.Want.Retention > 0 {
		labels[labelRetention] = h.Want.Retention.String()
	}
	id, err := r.lease(ctx, kept, h.Key, labels)
	if err != nil {
		return err
	}
	return r.addAssets(ctx, id, i)
}

// unwantAssets notes since when a key's assets are unwanted. What labels a lease has is said when it is made.
func (r *Runtime) unwantAssets(ctx context.Context, inv *inventory, key, since string) error {
	id := r.leaseID(kept, key)
	i := slices.IndexFunc(inv.leases, func(l leases.Lease) bool { return l.ID == id })
	if i < 0 {
		return nil
	}
	labels := maps.Clone(inv.leases[i].Labels)
	labels[labelSince] = since
	resources, err := r.heldBy(ctx, id)
	if err != nil {
		return err
	}
	meanwhile, err := r.lease(ctx, work, key, nil)
	if err != nil {
		return err
	}
	if err := r.addAll(ctx, meanwhile, resources); err != nil {
		return err
	}
	if err := r.end(ctx, id); err != nil {
		return err
	}
	if _, err := r.lease(ctx, kept, key, labels); err != nil {
		return err
	}
	if err := r.addAll(ctx, id, resources); err != nil {
		return err
	}
	return r.end(ctx, meanwhile)
}

func (r *Runtime) addAssets(ctx context.Context, id string, i warmer.Image) error {
	return r.addAll(ctx, id, r.assetsResources(i))
}

func (r *Runtime) addAll(ctx context.Context, id string, resources map[string][]string) error {
	for kind, names := range resources {
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
	labels, err := r.assetsLabels(ctx, w)
	if errors.Is(err, warmer.ErrNotFound) || err == nil && !assetsAsWanted(labels, w, i) {
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
	labels, err := r.assetsLabels(ctx, w)
	return warmer.Descriptor{Digest: warmer.Digest(labels[labelTarget])}, err
}

// assetsLabels are those of the lease that holds a want's assets, or there is [warmer.ErrNotFound].
func (r *Runtime) assetsLabels(ctx context.Context, w warmer.Want) (map[string]string, error) {
	l, err := r.client.LeasesService().List(ctx, "id=="+r.leaseID(kept, w.Key()))
	if err != nil {
		return nil, fmt.Errorf("leases: %w", problem(err))
	}
	if len(l) == 0 {
		return nil, fmt.Errorf("assets of %s: %w", w.Ref, warmer.ErrNotFound)
	}
	return l[0].Labels, nil
}

// assetsAsWanted says that a lease with these labels is that of assets which are wanted.
func assetsAsWanted(labels map[string]string, w warmer.Want, i warmer.Image) bool {
	return labels[labelTarget] == string(i.Target.Digest) && labels[labelSince] == "" && retained(labels, w)
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
