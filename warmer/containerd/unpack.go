package containerd

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// cleanTimeout bounds what has to be cleaned up when the context has ended.
const cleanTimeout = 30 * time.Second

const labelUncompressed = "containerd.io/uncompressed"

// Unpack makes layer i a committed snapshot.
func (r *Runtime) Unpack(ctx context.Context, h warmer.Hold, layers []warmer.Layer, i int) error {
	ctx, err := r.hold(ctx, h)
	if err != nil {
		return err
	}
	l, parent := layers[i], ""
	if i > 0 {
		parent = string(layers[i-1].ChainID)
	}
	// Containerd's own unpackers name what they prepare in this way; the name is taken by nobody else.
	key := fmt.Sprintf(snapshots.UnpackKeyFormat, rand.Text(), l.ChainID)
	labels := snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: string(l.ChainID), labelOwner: r.owner})
	mounts, err := r.snaps().Prepare(ctx, key, parent, labels)
	if errdefs.IsAlreadyExists(err) { // a snapshotter that had the layer elsewhere
		return nil
	}
	if err != nil {
		return fmt.Errorf("unpack %s: %w", l.Digest, problem(err))
	}
	applied, err := r.client.DiffService().Apply(ctx, descriptor(l.Descriptor), mounts)
	switch {
	case err != nil:
		err = fmt.Errorf("unpack %s: %w", l.Digest, problem(err))
	case applied.Digest != digest.Digest(l.DiffID):
		err = fmt.Errorf("unpack: %w", &warmer.DigestError{Ref: h.Want.Ref, Want: l.DiffID, Got: "unpacked it is " + applied.Digest.String()})
	default:
		// Only what is committed inherits the name by which garbage collection and others find it.
		err = r.snaps().Commit(ctx, string(l.ChainID), key, labels)
	}
	if err != nil {
		r.abandon(ctx, key)
	}
	if errdefs.IsAlreadyExists(err) { // somebody else unpacked it at the same time
		return r.addSnapshot(ctx, r.leaseID(work, h.Key), l.ChainID)
	}
	if err != nil {
		return err
	}
	return r.uncompressed(ctx, l)
}

// uncompressed notes on the blob what it is unpacked: containerd then need not unpack it to know.
func (r *Runtime) uncompressed(ctx context.Context, l warmer.Layer) error {
	info := content.Info{Digest: digest.Digest(l.Digest), Labels: map[string]string{labelUncompressed: string(l.DiffID)}}
	if _, err := r.client.ContentStore().Update(ctx, info, "labels."+labelUncompressed); err != nil {
		return fmt.Errorf("label %s: %w", l.Digest, problem(err))
	}
	return nil
}

// abandon removes a snapshot that was not committed, also when ctx has ended.
func (r *Runtime) abandon(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if err := r.snaps().Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
		r.log.Warn("unfinished snapshot stays", "snapshot", key, "error", err)
	}
}
