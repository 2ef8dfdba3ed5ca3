package containerdtest

import (
	"context"
	"slices"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
)

// Left is all that a containerd has in kubelet's namespace once its garbage is collected: names of images, digests of blobs,
// keys of snapshots, and so on.
type Left struct {
	Images, Blobs, Snapshots, Unfinished, Leases, Ingests []string
}

// Left looks at what there is.
func (d *Daemon) Left() Left {
	d.t.Helper()
	c, err := client.New(d.Socket, client.WithDefaultNamespace("k8s.io"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	ctx := d.t.Context()
	check := func(err error) {
		d.t.Helper()
		if err != nil {
			d.t.Fatal(err)
		}
	}
	lease, err := c.LeasesService().Create(ctx, leases.WithRandomID())
	check(err)
	check(c.LeasesService().Delete(ctx, lease, leases.SynchronousDelete)) // collects the garbage
	var out Left
	images, err := c.ImageService().List(ctx)
	check(err)
	for _, i := range images {
		out.Images = append(out.Images, i.Name)
	}
	check(c.ContentStore().Walk(ctx, func(i content.Info) error {
		out.Blobs = append(out.Blobs, i.Digest.String())
		return nil
	}))
	check(c.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindCommitted {
			out.Snapshots = append(out.Snapshots, i.Name)
		} else {
			out.Unfinished = append(out.Unfinished, i.Name)
		}
		return nil
	}))
	list, err := c.LeasesService().List(ctx)
	check(err)
	for _, l := range list {
		out.Leases = append(out.Leases, l.ID)
	}
	ingests, err := c.ContentStore().ListStatuses(ctx)
	check(err)
	for _, i := range ingests {
		out.Ingests = append(out.Ingests, i.Ref)
	}
	for _, s := range [][]string{out.Images, out.Blobs, out.Snapshots, out.Unfinished, out.Leases, out.Ingests} {
		slices.Sort(s)
	}
	return out
}
