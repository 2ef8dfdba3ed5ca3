package containerd

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Observe looks at what is there of an image, and has the lease of an unfinished one hold it.
func (r *Runtime) Observe(ctx context.Context, w warmer.Want, i warmer.Image) (warmer.Observed, error) {
	layers := w.Layers.Select(i.Layers)
	out := warmer.Observed{Blobs: map[warmer.Digest]warmer.Blob{}, Snapshots: map[warmer.Digest]bool{}}
	if err := r.observeBlobs(ctx, layers, &out); err != nil {
		return out, err
	}
	if err := r.observeSnapshots(ctx, layers, &out); err != nil {
		return out, err
	}
	var err error
	if out.Documents, err = r.documents(ctx, i); err != nil || !out.Documents {
		return out, err
	}
	out.Kept, err = r.isKept(ctx, w, i)
	return out, err
}

func (r *Runtime) documents(ctx context.Context, i warmer.Image) (bool, error) {
	for _, d := range []warmer.Digest{i.Target.Digest, i.Manifest.Digest, i.Config.Digest} {
		if _, err := r.client.ContentStore().Info(ctx, digest.Digest(d)); errdefs.IsNotFound(err) {
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("look at %s: %w", d, problem(err))
		}
	}
	return true, nil
}

func (r *Runtime) observeBlobs(ctx context.Context, layers []warmer.Layer, out *warmer.Observed) error {
	store := r.client.ContentStore()
	for _, l := range layers {
		if _, again := out.Blobs[l.Digest]; again {
			continue
		}
		_, err := store.Info(ctx, digest.Digest(l.Digest))
		if err == nil {
			out.Blobs[l.Digest] = warmer.Blob{Complete: true, Offset: l.Size}
			continue
		}
		if !errdefs.IsNotFound(err) {
			return fmt.Errorf("look at %s: %w", l.Digest, problem(err))
		}
		status, err := store.Status(ctx, ingest(ctx, l.Descriptor))
		if err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("look at %s: %w", l.Digest, problem(err))
		}
		out.Blobs[l.Digest] = warmer.Blob{Offset: status.Offset}
	}
	return nil
}

// observeSnapshots begins at the top: a snapshot has all below it.
func (r *Runtime) observeSnapshots(ctx context.Context, layers []warmer.Layer, out *warmer.Observed) error {
	there := false
	for _, l := range slices.Backward(layers) {
		if !there {
			_, err := r.snaps().Stat(ctx, string(l.ChainID))
			if err != nil && !errdefs.IsNotFound(err) {
				return fmt.Errorf("look at snapshot %s: %w", l.ChainID, problem(err))
			}
			there = err == nil
		}
		out.Snapshots[l.ChainID] = there
	}
	return nil
}

// isKept says that an image's names, labels and pin are as wanted, and that no lease is left of its pull.
func (r *Runtime) isKept(ctx context.Context, w warmer.Want, i warmer.Image) (bool, error) {
	if left, err := r.leaseThere(ctx, r.leaseID(work, w.Key())); err != nil || left {
		return false, err
	}
	if w.Layers == warmer.Assets {
		return r.assetsKept(ctx, w, i)
	}
	ref, err := warmer.ParseReference(w.Ref)
	if err != nil {
		return false, err
	}
	names := ref.Records(i.Target.Digest, i.Config.Digest)
	for n, name := range names {
		record, err := r.client.ImageService().Get(ctx, name)
		if errdefs.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("image %s: %w", name, problem(err))
		}
		ours := record.Labels[labelOwner] != ""
		if n == 0 {
			ours = ours && record.Labels[labelKey] != ""
		}
		if n == len(names)-1 {
			ours = ours && record.Labels[byLabel(w.Key())] == w.Key()
		}
		if !ours || !asWanted(record, w, i) || record.Labels[labelOwner] == r.owner && !retained(record.Labels, w) {
			return false, nil
		}
	}
	if len(i.Layers) == 0 {
		return true, nil
	}
	info, err := r.client.ContentStore().Info(ctx, digest.Digest(i.Config.Digest))
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", i.Config.Digest, problem(err))
	}
	return info.Labels[r.topLabel()] == string(top(i.Layers)), nil
}

// asWanted says that kubelet finds an image by a record, and leaves it if it is pinned.
func asWanted(record images.Image, w warmer.Want, i warmer.Image) bool {
	l := record.Labels
	return warmer.Digest(record.Target.Digest) == i.Target.Digest && l[labelManaged] == managed && l[labelSince] == "" && (!w.Pin || l[labelPinned] == pinned)
}

// retained says that labels have a want's retention.
func retained(labels map[string]string, w warmer.Want) bool {
	return retention(labels) == w.Retention
}

// retention is what labels say of it; 0 if that is nothing.
func retention(labels map[string]string) time.Duration {
	d, err := time.ParseDuration(labels[labelRetention])
	if err != nil {
		return 0
	}
	return max(d, 0)
}

func (r *Runtime) leaseThere(ctx context.Context, id string) (bool, error) {
	found, err := r.client.LeasesService().List(ctx, "id=="+id)
	if err != nil {
		return false, fmt.Errorf("leases: %w", problem(err))
	}
	return len(found) > 0, nil
}
