package containerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Labels on leases and image records.
const (
	labelOwner = "dev.pitcrew.warmer.owner"
	// labelKey is on leases and on the record that an image was wanted by.
	labelKey = "dev.pitcrew.warmer.key"
	// labelBy begins labels on the record by ID, one for each key that was kept with it: pulls by CRI replace the labels of
	// the others.
	labelBy = "dev.pitcrew.warmer.by."
	// labelRef and labelPlatform say what the key was made of.
	labelRef      = "dev.pitcrew.warmer.ref"
	labelPlatform = "dev.pitcrew.warmer.platform"
	// labelTarget is the digest that the reference stood for.
	labelTarget = "dev.pitcrew.warmer.target"
	// labelSince is since when an image is unwanted.
	labelSince = "dev.pitcrew.warmer.unwanted-since"
	// labelRetention is how long an image stays that is unwanted, if that was said.
	labelRetention = "dev.pitcrew.warmer.retention"
	// labelFound is on records that others made.
	labelFound = "dev.pitcrew.warmer.found"

	labelManaged = "io.cri-containerd.image"
	managed      = "managed"
	labelPinned  = "io.cri-containerd.pinned"
	pinned       = "pinned"

	labelExpire = "containerd.io/gc.expire"
)

// A hold has two leases: one while the image is not complete, and for assets one for good.
const (
	work = "work"
	kept = "kept"
)

// leaseID is the same in every process of an owner, so that one goes on where another was killed.
func (r *Runtime) leaseID(kind, key string) string {
	return fmt.Sprintf("pitcrew-warmer-%s-%s-%s", r.owner, kind, short(key))
}

func byLabel(key string) string { return labelBy + short(key) }

func short(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:8])
}

// hold makes the lease, if there is none, and returns a context under which whatever is made is held by it.
func (r *Runtime) hold(ctx context.Context, h warmer.Hold) (context.Context, error) {
	id := r.leaseID(work, h.Key)
	if last, ok := r.leased.Load(id); !ok || time.Since(last.(time.Time)) > leaseTrusted {
		if _, err := r.lease(ctx, work, h.Key, nil); err != nil {
			return nil, err
		}
		r.leased.Store(id, time.Now())
	}
	return leases.WithLease(ctx, id), nil
}

// leaseTrusted is how long a lease is taken to be there without a look: each look waits for whoever writes to containerd's
// database. Should somebody have deleted it, what needs it fails and is tried again.
const leaseTrusted = 5 * time.Second

func (r *Runtime) lease(ctx context.Context, kind, key string, more map[string]string) (string, error) {
	id := r.leaseID(kind, key)
	labels := map[string]string{labelOwner: r.owner, labelKey: key}
	maps.Copy(labels, more)
	if kind == work {
		labels[labelExpire] = time.Now().Add(leaseExpires).Format(time.RFC3339)
	}
	_, err := r.client.LeasesService().Create(ctx, leases.WithID(id), leases.WithLabels(labels))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return "", fmt.Errorf("lease: %w", problem(err))
	}
	return id, nil
}

// end deletes a lease, which need not be there.
func (r *Runtime) end(ctx context.Context, id string, o ...leases.DeleteOpt) error {
	r.leased.Delete(id)
	if err := r.client.LeasesService().Delete(ctx, leases.Lease{ID: id}, o...); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("lease: %w", problem(err))
	}
	return nil
}

// add has a lease hold something that is there already.
func (r *Runtime) add(ctx context.Context, id, kind, what string) error {
	err := r.client.LeasesService().AddResource(ctx, leases.Lease{ID: id}, leases.Resource{Type: kind, ID: what})
	if err != nil {
		return fmt.Errorf("hold %s: %w", what, problem(err))
	}
	return nil
}

func (r *Runtime) addContent(ctx context.Context, id string, d warmer.Digest) error {
	return r.add(ctx, id, "content", string(d))
}

func (r *Runtime) addSnapshot(ctx context.Context, id string, chain warmer.Digest) error {
	return r.add(ctx, id, "snapshots/"+r.snapshotter, string(chain))
}
