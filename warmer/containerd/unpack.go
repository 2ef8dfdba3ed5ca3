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

// labelApplied is on snapshots that are not committed, but have all of a layer, whose chain ID it is.
const labelApplied = "dev.pitcrew.warmer.applied"

// Ahead says whether snapshots get their parent only when they are committed, as containerd 2.2's overlayfs allows.
func (r *Runtime) Ahead() bool { return r.rebases }

// Unpack makes layer i a committed snapshot.
func (r *Runtime) Unpack(ctx context.Context, h warmer.Hold, layers []warmer.Layer, i int, applied func()) error {
	ctx, err := r.hold(ctx, h)
	if err != nil {
		return err
	}
	u := unpacking{Runtime: r, hold: h, layer: layers[i], applied: applied}
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
	hold    warmer.Hold
	layer   warmer.Layer
	parent  warmer.Digest // none below the first
	applied func()
}

func (u *unpacking) run(ctx context.Context) error {
	if key, ok := u.left.LoadAndDelete(u.layer.ChainID); ok {
		if err := u.commit(ctx, key.(string), true); !errdefs.IsNotFound(err) {
			return problem(err)
		}
		if _, err := u.snaps().Stat(ctx, string(u.layer.ChainID)); err == nil { // another process of this owner was quicker
			u.commits.Ring()
			return u.addSnapshot(ctx, u.leaseID(work, u.hold.Key), u.layer.ChainID)
		} // else it went with its lease
	}
	// Containerd's own unpackers name what they prepare in this way; the name is taken by nobody else.
	key := fmt.Sprintf(snapshots.UnpackKeyFormat, rand.Text(), u.layer.ChainID)
	ahead, err := u.ahead(ctx)
	if err != nil {
		return err
	}
	below := string(u.parent)
	if ahead {
		below = ""
	}
	mounts, err := u.snaps().Prepare(ctx, key, below, u.labels())
	if errdefs.IsAlreadyExists(err) { // a snapshotter that had the layer elsewhere
		u.commits.Ring()
		return nil
	}
	if err != nil {
		return problem(err)
	}
	if ahead {
		mounts = alone(mounts)
	}
	if err := u.apply(ctx, mounts); err != nil {
		u.abandon(ctx, key)
		return problem(err)
	}
	return problem(u.commit(ctx, key, ahead))
}

func (u *unpacking) labels() snapshots.Opt {
	return snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: string(u.layer.ChainID), labelOwner: u.owner})
}

// commit makes what is applied the layer's snapshot, with ahead on top of the one below as soon as that is there. If it waits
// for that in vain it stays as a download does that was cut off: its lease keeps it, and the next one goes on with it.
func (u *unpacking) commit(ctx context.Context, key string, ahead bool) error {
	options := []snapshots.Opt{u.labels()}
	if ahead {
		if err := u.awaitParent(ctx, key); err != nil {
			u.left.Store(u.layer.ChainID, key)
			return err
		}
		options = append(options, snapshots.WithParent(string(u.parent)))
	}
	err := u.snaps().Commit(ctx, string(u.layer.ChainID), key, options...)
	if err != nil {
		u.abandon(ctx, key)
	}
	if errdefs.IsAlreadyExists(err) { // somebody else unpacked it at the same time
		u.commits.Ring()
		return u.addSnapshot(ctx, u.leaseID(work, u.hold.Key), u.layer.ChainID)
	}
	if err != nil {
		return err
	}
	u.commits.Ring()
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

// othersCommit is how often is looked whether somebody else unpacked the layer below, who does not say so.
const othersCommit = time.Second

// awaitParent waits until the layer below is committed.
func (u *unpacking) awaitParent(ctx context.Context, key string) error {
	for said := false; ; said = true {
		committed := u.commits.Wait() // asked for before the look: so none is missed
		_, err := u.snaps().Stat(ctx, string(u.parent))
		if !errdefs.IsNotFound(err) {
			return problem(err)
		}
		if !said {
			u.applied()
			u.note(ctx, key)
		}
		look := time.NewTimer(othersCommit)
		select {
		case <-committed:
		case <-look.C:
		case <-ctx.Done():
			look.Stop()
			return ctx.Err()
		}
		look.Stop()
	}
}

// note says on a snapshot that all of its layer is in it, for processes to come.
func (u *unpacking) note(ctx context.Context, key string) {
	info := snapshots.Info{Name: key, Labels: map[string]string{labelApplied: string(u.layer.ChainID)}}
	if _, err := u.snaps().Update(ctx, info, "labels."+labelApplied); err != nil && ctx.Err() == nil {
		u.log.Warn("another process would unpack it again", "snapshot", key, "error", err)
	}
}

// resume finds what earlier processes of this owner have applied and not committed.
func (r *Runtime) resume(ctx context.Context) error {
	if !r.rebases {
		return nil
	}
	err := r.snaps().Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindActive {
			r.left.Store(warmer.Digest(i.Labels[labelApplied]), i.Name)
		}
		return nil
	}, fmt.Sprintf("labels.%q==%q,labels.%q", labelOwner, r.owner, labelApplied))
	return problem(err)
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
