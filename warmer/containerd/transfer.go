package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/containerd/typeurl/v2"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// How often is looked how far downloads are, and for how long nothing may come: containerd itself would wait for ever. That a
// download is complete is told at once.
const (
	transferLook  = 250 * time.Millisecond
	transferStall = 30 * time.Second
)

// Transfers says whether containerd has a transfer service that is as far as version 2's.
func (r *Runtime) Transfers() bool { return r.transfers }

// Transfer has containerd's transfer service bring the platform's manifest and what belongs to it. No image is named: that is
// for the end, when it is unpacked. The service says that as an error, after it has brought everything, so what counts is
// what is there.
func (r *Runtime) Transfer(ctx context.Context, h warmer.Hold, i warmer.Image, a warmer.Access, told func(warmer.Digest, warmer.Blob)) error {
	ref, err := warmer.ParseReference(h.Want.Ref)
	if err != nil {
		return err
	}
	if ctx, err = r.hold(ctx, h); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the streams
	ref = warmer.Reference{Repository: ref.Repository, Digest: i.Manifest.Digest}
	from, err := registry.NewOCIRegistry(ctx, ref.String(), r.access(a, ref.Repository)...)
	if err != nil {
		return fmt.Errorf("transfer %s: %w", ref, err)
	}
	missing, err := r.missing(ctx, i.Layers)
	if err != nil {
		return err
	}
	t := transferring{Runtime: r, missing: missing, told: told, offsets: map[string]int64{}, moved: time.Now()}
	stream, faults := r.client.EventService().Subscribe(ctx, `topic=="/content/create"`)
	ended := make(chan error, 1)
	go func() { ended <- r.client.Transfer(ctx, from, image.NewStore("")) }() // ends with ctx
	err = t.watch(ctx, stream, faults, ended)
	left, look := r.missing(ctx, i.Layers)
	if look != nil {
		return errors.Join(look, ctx.Err())
	}
	for d := range t.missing {
		if _, still := left[d]; !still { // its event came too late
			t.arrived(d)
		}
	}
	switch {
	case len(left) == 0:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("transfer %s: %w", ref, problem(err))
}

// access is what containerd needs to know to reach a registry.
func (r *Runtime) access(a warmer.Access, repository string) []registry.Opt {
	var out []registry.Opt
	if a.HostsDir != "" {
		out = append(out, registry.WithHostDir(a.HostsDir))
	}
	if a.PlainHTTP {
		out = append(out, registry.WithDefaultScheme("http"))
	}
	if a.Credentials != nil {
		out = append(out, registry.WithCredentials(helper{a, repository, r.log}))
	}
	return out
}

// helper answers containerd's questions for credentials.
type helper struct {
	warmer.Access
	repository string
	log        *slog.Logger
}

// GetCredentials is that of [registry.CredentialHelper]. Containerd would wait for ever for an answer that is an error: it
// gets none, asks without, and is refused.
func (h helper) GetCredentials(ctx context.Context, _, host string) (registry.Credentials, error) {
	_, path, _ := strings.Cut(h.repository, "/")
	user, secret, err := h.Credentials(ctx, host, path)
	if err != nil {
		h.log.Warn("no credentials for containerd", "registry", host, "repository", path, "error", err)
	}
	return registry.Credentials{Host: host, Username: user, Secret: secret}, nil
}

// transferring is a transfer under way.
type transferring struct {
	*Runtime
	missing map[warmer.Digest]warmer.Descriptor
	told    func(warmer.Digest, warmer.Blob)
	offsets map[string]int64 // of downloads under way
	moved   time.Time        // when something came last
}

// watch tells what comes until the transfer has ended, whose error it returns.
func (t *transferring) watch(ctx context.Context, stream <-chan *events.Envelope, faults <-chan error, ended <-chan error) error {
	look := time.NewTicker(transferLook)
	defer look.Stop()
	for {
		select {
		case e := <-stream:
			t.event(e)
		case err := <-faults:
			t.log.Debug("containerd's events ended", "error", err)
			faults = nil // what is there is looked at in the end
		case <-look.C:
			t.look(ctx)
			if stalled := time.Since(t.moved); stalled > t.stall {
				return fmt.Errorf("nothing came for %s: %w", stalled.Round(time.Millisecond), warmer.ErrUnavailable)
			}
		case err := <-ended:
			return err
		}
	}
}

func (t *transferring) event(e *events.Envelope) {
	if e.Namespace != t.client.DefaultNamespace() {
		return
	}
	value, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		return
	}
	if created, ok := value.(*apievents.ContentCreate); ok {
		t.arrived(warmer.Digest(created.GetDigest()))
	}
}

// arrived tells of a blob that is complete.
func (t *transferring) arrived(d warmer.Digest) {
	if l, ok := t.missing[d]; ok {
		delete(t.missing, d)
		t.moved = time.Now()
		t.told(d, warmer.Blob{Complete: true, Offset: l.Size})
	}
}

// look tells how much of each blob is there.
func (t *transferring) look(ctx context.Context) {
	under, err := t.client.ContentStore().ListStatuses(ctx, "ref~=^layer-")
	if err != nil {
		return // the transfer itself will say
	}
	before := t.offsets
	t.offsets = map[string]int64{}
	for _, s := range under {
		t.offsets[s.Ref] = s.Offset
	}
	for d, l := range t.missing {
		ref := ingest(ctx, l)
		if offset, ok := t.offsets[ref]; ok && offset != before[ref] {
			t.moved = time.Now()
			t.told(d, warmer.Blob{Offset: offset})
		}
	}
}

// missing are the layers' blobs that are not there, also when ctx has ended.
func (r *Runtime) missing(ctx context.Context, layers []warmer.Layer) (map[warmer.Digest]warmer.Descriptor, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	out := warmer.Observed{Blobs: map[warmer.Digest]warmer.Blob{}}
	if err := r.observeBlobs(ctx, layers, &out); err != nil {
		return nil, err
	}
	missing := map[warmer.Digest]warmer.Descriptor{}
	for i := range layers {
		if !out.Blobs[layers[i].Digest].Complete {
			missing[layers[i].Digest] = layers[i].Descriptor
		}
	}
	return missing, nil
}
