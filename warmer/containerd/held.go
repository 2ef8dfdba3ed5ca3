package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// orphan begins the key of records that are left when a tag has moved on.
const orphan = "was "

// inventory is what one look at containerd's records shows.
type inventory struct {
	images []images.Image
	used   map[digest.Digest]bool // targets
	leases []leases.Lease         // of this owner
}

func (r *Runtime) inventory(ctx context.Context) (inventory, error) {
	var out inventory
	var err error
	if out.images, err = r.client.ImageService().List(ctx); err != nil {
		return out, fmt.Errorf("list images: %w", problem(err))
	}
	restore(out.images)
	containers, err := r.client.ContainerService().List(ctx)
	if err != nil {
		return out, fmt.Errorf("list containers: %w", problem(err))
	}
	names := map[string]bool{}
	for i := range containers {
		names[containers[i].Image] = true
	}
	out.used = map[digest.Digest]bool{}
	for i := range out.images {
		if names[out.images[i].Name] {
			out.used[out.images[i].Target.Digest] = true
		}
	}
	if out.leases, err = r.client.LeasesService().List(ctx, fmt.Sprintf("labels.%q==%q", labelOwner, r.owner)); err != nil {
		return out, fmt.Errorf("list leases: %w", problem(err))
	}
	return out, nil
}

// restore puts labels back, in memory, that a pull by CRI took off records: that by ID still has them.
func restore(all []images.Image) {
	byName := map[string]*images.Image{}
	for i := range all {
		byName[all[i].Name] = &all[i]
	}
	for i := range all {
		id := &all[i]
		for label, key := range id.Labels {
			if strings.HasPrefix(label, labelBy) {
				restoreKey(byName, id, key)
			}
		}
	}
}

// restoreKey does that for a key, by the record by ID that was made for it.
func restoreKey(byName map[string]*images.Image, id *images.Image, key string) {
	name, platform, _ := strings.Cut(key, " ")
	lost := func(name string) *images.Image {
		if r := byName[name]; r != nil && r.Target.Digest == id.Target.Digest {
			return r
		}
		return nil
	}
	if r := lost(name); r != nil && r.Labels[labelKey] == "" {
		r.Labels = map[string]string{labelOwner: id.Labels[labelOwner], labelKey: key, labelPlatform: platform, labelPinned: id.Labels[labelPinned], labelRetention: id.Labels[labelRetention]}
	}
	ref, err := warmer.ParseReference(name)
	if err != nil || id.Labels[labelFound] != "" {
		return
	}
	byDigest := warmer.Reference{Repository: ref.Repository, Digest: warmer.Digest(id.Target.Digest)}.String()
	if r := lost(byDigest); r != nil && r.Labels[labelOwner] == "" {
		r.Labels = map[string]string{labelOwner: id.Labels[labelOwner]}
	}
}

// Held lists what this owner keeps.
func (r *Runtime) Held(ctx context.Context) ([]warmer.Held, error) {
	inv, err := r.inventory(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var out []warmer.Held
	for i := range inv.images {
		record := &inv.images[i]
		key, ok := inv.key(record, r.owner)
		if !ok || seen[key] {
			continue
		}
		seen[key] = true
		since, _ := time.Parse(time.RFC3339, record.Labels[labelSince]) // no time: it is wanted
		out = append(out, warmer.Held{
			Key: key, Since: since, InUse: inv.used[record.Target.Digest], Pinned: record.Labels[labelPinned] == pinned, Retention: retention(record.Labels),
		})
	}
	for _, l := range inv.leases {
		if key := l.Labels[labelKey]; key != "" && !seen[key] {
			seen[key] = true
			out = append(out, leaseholder(l))
		}
	}
	return out, nil
}

// leaseholder is what a lease stands for: what a pull has left, or assets.
func leaseholder(l leases.Lease) warmer.Held {
	if strings.Contains(l.ID, "-"+work+"-") {
		return warmer.Held{Key: l.Labels[labelKey], Unfinished: true, Since: l.CreatedAt}
	}
	since, _ := time.Parse(time.RFC3339, l.Labels[labelSince]) // no time: it is wanted
	return warmer.Held{Key: l.Labels[labelKey], Since: since, Retention: retention(l.Labels)}
}

// key is under which a record is held, if it is ours: that of the want, or of what remains when a tag has moved on.
func (inv *inventory) key(i *images.Image, owner string) (string, bool) {
	if i.Labels[labelOwner] != owner {
		return "", false
	}
	if key := i.Labels[labelKey]; key != "" {
		return key, true
	}
	// Records by digest and ID belong to whichever tag has the same target.
	if slices.ContainsFunc(inv.images, func(other images.Image) bool {
		return other.Target.Digest == i.Target.Digest && (other.Labels[labelKey] != "" || !secondary(other.Name))
	}) {
		return "", false
	}
	return orphan + i.Target.Digest.String(), true
}

// secondary says that a record is one that comes with another: by digest, or by ID.
func secondary(name string) bool {
	return strings.Contains(name, "@sha256:") || strings.HasPrefix(name, "sha256:")
}

// group are the records that are held under a key.
func (inv *inventory) group(key, owner string) []images.Image {
	var out []images.Image
	for i := range inv.images {
		if k, ok := inv.key(&inv.images[i], owner); ok && k == key {
			out = append(out, inv.images[i])
		}
	}
	if strings.HasPrefix(key, orphan) {
		return out
	}
	for _, primary := range slices.Clone(out) {
		out = append(out, inv.companions(primary, owner)...)
	}
	return out
}

// companions are the records by digest and ID that no other record needs beside this one.
func (inv *inventory) companions(primary images.Image, owner string) []images.Image {
	var out []images.Image
	for i := range inv.images {
		other := inv.images[i]
		if other.Name == primary.Name || other.Target.Digest != primary.Target.Digest {
			continue
		}
		if other.Labels[labelKey] != "" || !secondary(other.Name) {
			return nil
		}
		if other.Labels[labelOwner] == owner {
			out = append(out, other)
		}
	}
	return out
}

// Unpin takes the pin off a key's records and notes the time on them.
func (r *Runtime) Unpin(ctx context.Context, key string) error {
	inv, err := r.inventory(ctx)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Format(time.RFC3339)
	if err := r.unwantAssets(ctx, &inv, key, now); err != nil {
		return err
	}
	for _, record := range inv.group(key, r.owner) {
		record.Labels = map[string]string{labelSince: now}
		if _, err := r.client.ImageService().Update(ctx, record, "labels."+labelSince, "labels."+labelPinned); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("unpin %s: %w", record.Name, problem(err))
		}
	}
	return nil
}

// Evict removes a key's records and leases, and what nothing else holds with them. Records that others made only lose what
// was added to them.
func (r *Runtime) Evict(ctx context.Context, key string) error {
	inv, err := r.inventory(ctx)
	if err != nil {
		return err
	}
	var faults []error
	for _, record := range inv.group(key, r.owner) {
		if err := r.forget(ctx, record); err != nil {
			return fmt.Errorf("evict %s: %w", record.Name, problem(err))
		}
	}
	for _, record := range inv.images { // by ID, where others need it
		if record.Labels[byLabel(key)] != "" {
			record.Labels = nil
			if _, err := r.client.ImageService().Update(ctx, record, "labels."+byLabel(key)); err != nil && !errdefs.IsNotFound(err) {
				faults = append(faults, problem(err))
			}
		}
	}
	for _, kind := range []string{work, kept} {
		faults = append(faults, r.end(ctx, r.leaseID(kind, key)))
	}
	faults = append(faults, r.collect(ctx))
	return errors.Join(faults...)
}

// Abandon ends the lease of an unfinished pull.
func (r *Runtime) Abandon(ctx context.Context, h warmer.Hold) error {
	return r.end(ctx, r.leaseID(work, h.Key), leases.SynchronousDelete)
}

func (r *Runtime) forget(ctx context.Context, record images.Image) error {
	if record.Labels[labelFound] == "" {
		if err := r.client.ImageService().Delete(ctx, record.Name); !errdefs.IsNotFound(err) {
			return err
		}
		return nil
	}
	record.Labels = nil
	_, err := r.client.ImageService().Update(ctx, record, "labels."+labelSince, "labels."+labelPinned, "labels."+labelOwner, "labels."+labelKey, "labels."+labelPlatform, "labels."+labelRetention, "labels."+labelFound)
	return err
}

// collect has the garbage collected now: the next plan counts on the room.
func (r *Runtime) collect(ctx context.Context) error {
	id, err := r.lease(ctx, work, "collect", nil)
	if err != nil {
		return err
	}
	return r.end(ctx, id, leases.SynchronousDelete)
}
