package containerd

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Keep makes an image one of kubelet's, or has a lease hold its assets.
func (r *Runtime) Keep(ctx context.Context, h warmer.Hold, i warmer.Image) error {
	if h.Want.Layers == warmer.Assets {
		if err := r.keepAssets(ctx, h, i); err != nil {
			return err
		}
		return r.end(ctx, r.leaseID(work, h.Key))
	}
	ref, err := warmer.ParseReference(h.Want.Ref)
	if err != nil {
		return err
	}
	if err := r.labelTop(ctx, i); err != nil {
		return err
	}
	names := ref.Records(i.Target.Digest, i.Config.Digest)
	before := r.madeBefore(ctx, names)
	for n, name := range names {
		labels := map[string]string{labelManaged: managed, labelOwner: r.owner}
		if h.Want.Pin {
			labels[labelPinned] = pinned
		}
		if h.Want.Retention > 0 {
			labels[labelRetention] = h.Want.Retention.String()
		}
		if n == 0 {
			labels[labelKey], labels[labelPlatform] = h.Key, h.Want.Platform
		}
		if name == string(i.Config.Digest) {
			labels[byLabel(h.Key)] = h.Key
		}
		if err := r.record(ctx, images.Image{Name: name, Target: descriptor(i.Target), Labels: labels}, before); err != nil {
			return fmt.Errorf("image %s: %w", name, problem(err))
		}
	}
	return r.end(ctx, r.leaseID(work, h.Key))
}

// labelTop makes the configuration refer to the topmost snapshot, and that to all others.
func (r *Runtime) labelTop(ctx context.Context, i warmer.Image) error {
	if len(i.Layers) == 0 {
		return nil
	}
	key := r.topLabel()
	info := content.Info{Digest: digest.Digest(i.Config.Digest), Labels: map[string]string{key: string(top(i.Layers))}}
	if _, err := r.client.ContentStore().Update(ctx, info, "labels."+key); err != nil {
		return fmt.Errorf("label %s: %w", i.Config.Digest, problem(err))
	}
	return nil
}

func (r *Runtime) topLabel() string { return "containerd.io/gc.ref.snapshot." + r.snapshotter }

func top(layers []warmer.Layer) warmer.Digest { return layers[len(layers)-1].ChainID }

// madeBefore says that one of an image's records was made here: then the others were, too. A pull by CRI takes our labels off
// the record by tag.
func (r *Runtime) madeBefore(ctx context.Context, names []string) bool {
	for _, name := range names {
		if had, err := r.client.ImageService().Get(ctx, name); err == nil && had.Labels[labelOwner] != "" && had.Labels[labelFound] == "" {
			return true
		}
	}
	return false
}

// record creates an image record, or updates the one that is there. before says that it was made here.
func (r *Runtime) record(ctx context.Context, want images.Image, before bool) error {
	service := r.client.ImageService()
	_, err := service.Create(ctx, want)
	if !errdefs.IsAlreadyExists(err) {
		return err
	}
	had, err := service.Get(ctx, want.Name)
	if err != nil {
		return err
	}
	labels := maps.Clone(want.Labels)
	if had.Labels[labelOwner] == "" && !before {
		labels[labelFound] = "true"
	}
	paths := []string{"target"}
	for k := range labels {
		paths = append(paths, "labels."+k)
	}
	for _, k := range []string{labelSince, labelPinned, labelRetention} { // an update with an empty value removes a label
		if _, stays := labels[k]; !stays && had.Labels[k] != "" {
			paths = append(paths, "labels."+k)
		}
	}
	slices.Sort(paths)
	want.Labels = labels
	_, err = service.Update(ctx, want, paths...)
	return err
}
