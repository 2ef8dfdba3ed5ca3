package containerd

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// cleanTimeout bounds what has to be cleaned up when the context has ended.
const cleanTimeout = 30 * time.Second

const labelUncompressed = "containerd.io/uncompressed"

// Ahead says whether snapshots get their parent only when they are committed, as containerd 2.2's overlayfs allows.
func (r *Runtime) Ahead() bool { return r.rebases }

// Unpack makes layer i a committed snapshot.
func (r *Runtime) Unpack(ctx context.Context, h warmer.Hold, layers []warmer.Layer, i int) error {
	ctx, err := r.hold(ctx, h)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	r.underway.Store(layers[i].ChainID, ended)
	defer func() {
		r.underway.CompareAndDelete(layers[i].ChainID, ended)
		close(ended)
	}()
	u := unpacking{Runtime: r, hold: h, layer: layers[i]}
	if i > 0 {
		u.parent = layers[i-1].ChainID
	}
	if err := u.run(ctx); err != nil {
		return fmt.Errorf("unpack %s: %w", u.layer.Digest, err)
	}
	return nil
}

// unpacking is one layer on its way.
type unpacking struct {
	*Runtime
	hold   warmer.Hold
	layer  warmer.Layer
	parent warmer.Digest // none below the first
}

func (u *unpacking) run(ctx context.Context) error {
	// Containerd's own unpackers name what they prepare in this way; the name is taken by nobody else.
	key := fmt.Sprintf(snapshots.UnpackKeyFormat, rand.Text(), u.layer.ChainID)
	options := []snapshots.Opt{snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: string(u.layer.ChainID), labelOwner: u.owner})}
	ahead, err := u.ahead(ctx)
	if err != nil {
		return err
	}
	below := string(u.parent)
	if ahead {
		below = ""
	}
	mounts, err := u.snaps().Prepare(ctx, key, below, options...)
	if errdefs.IsAlreadyExists(err) { // a snapshotter that had the layer elsewhere
		return nil
	}
	if err != nil {
		return problem(err)
	}
	if ahead {
		mounts = alone(mounts)
		options = append(options, snapshots.WithParent(string(u.parent)))
	}
	if err = u.apply(ctx, mounts); err == nil && ahead {
		err = u.awaitParent(ctx)
	}
	if err == nil {
		err = u.snaps().Commit(ctx, string(u.layer.ChainID), key, options...)
	}
	if err != nil {
		u.abandon(ctx, key)
	}
	if errdefs.IsAlreadyExists(err) { // somebody else unpacked it at the same time
		return u.addSnapshot(ctx, u.leaseID(work, u.hold.Key), u.layer.ChainID)
	}
	if err != nil {
		return problem(err)
	}
	return u.uncompressed(ctx)
}

// ahead says that the layer below is not committed yet.
func (u *unpacking) ahead(ctx context.Context) (bool, error) {
	if u.parent == "" || !u.rebases {
		return false, nil
	}
	_, err := u.snaps().Stat(ctx, string(u.parent))
	if errdefs.IsNotFound(err) {
		return true, nil
	}
	return false, problem(err)
}

// awaitParent waits until the layer below is committed, or given up.
func (u *unpacking) awaitParent(ctx context.Context) error {
	if ended, ok := u.underway.Load(u.parent); ok {
		select {
		case <-ended.(chan struct{}):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if _, err := u.snaps().Stat(ctx, string(u.parent)); err != nil {
		return fmt.Errorf("the layer below: %w: %w", err, warmer.ErrUnavailable)
	}
	return nil
}

func (u *unpacking) apply(ctx context.Context, mounts []mount.Mount) error {
	applied, err := u.client.DiffService().Apply(ctx, descriptor(u.layer.Descriptor), mounts)
	if err != nil {
		return err
	}
	if applied.Digest != digest.Digest(u.layer.DiffID) {
		return &warmer.DigestError{Ref: u.hold.Want.Ref, Want: u.layer.DiffID, Got: "unpacked it is " + applied.Digest.String()}
	}
	return nil
}

// alone turns the bind mount that overlayfs gives for a snapshot without a parent into an overlay, of which containerd knows
// that whiteouts have to be converted. Its own unpacker does the same.
func alone(mounts []mount.Mount) []mount.Mount {
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return mounts
	}
	m := mount.Mount{Type: "overlay", Source: "overlay"}
	for _, o := range mounts[0].Options {
		if o != "rbind" {
			m.Options = append(m.Options, o)
		}
	}
	m.Options = append(m.Options, "upperdir="+mounts[0].Source)
	return []mount.Mount{m}
}

// uncompressed notes on the blob what it is unpacked: containerd then need not unpack it to know.
func (u *unpacking) uncompressed(ctx context.Context) error {
	info := content.Info{Digest: digest.Digest(u.layer.Digest), Labels: map[string]string{labelUncompressed: string(u.layer.DiffID)}}
	if _, err := u.client.ContentStore().Update(ctx, info, "labels."+labelUncompressed); err != nil {
		return fmt.Errorf("label %s: %w", u.layer.Digest, problem(err))
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
