package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

const maxRead = 8 << 20

func descriptor(d warmer.Descriptor) specs.Descriptor {
	return specs.Descriptor{MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size}
}

// Target is what an image record names, or what a lease for assets was made for.
func (r *Runtime) Target(ctx context.Context, w warmer.Want) (warmer.Descriptor, error) {
	if w.Layers == warmer.Assets {
		return r.assetsTarget(ctx, w)
	}
	ref, err := warmer.ParseReference(w.Ref)
	if err != nil {
		return warmer.Descriptor{}, err
	}
	image, err := r.client.ImageService().Get(ctx, ref.String())
	if err != nil {
		return warmer.Descriptor{}, problem(err)
	}
	t := image.Target
	return warmer.Descriptor{MediaType: t.MediaType, Digest: warmer.Digest(t.Digest), Size: t.Size}, nil
}

// Read returns a blob of at most 8 MiB.
func (r *Runtime) Read(ctx context.Context, d warmer.Descriptor) ([]byte, error) {
	at, err := r.client.ContentStore().ReaderAt(ctx, descriptor(d))
	if err != nil {
		return nil, problem(err)
	}
	defer at.Close()
	if at.Size() > maxRead {
		return nil, fmt.Errorf("%s: %d bytes are more than %d: %w", d.Digest, at.Size(), maxRead, warmer.ErrNotSupported)
	}
	out := make([]byte, at.Size())
	if n, err := at.ReadAt(out, 0); err != nil && (!errors.Is(err, io.EOF) || n < len(out)) {
		return nil, problem(err)
	}
	return out, nil
}

// Put stores a document and labels it with what it refers to, as containerd does.
func (r *Runtime) Put(ctx context.Context, h warmer.Hold, d warmer.Descriptor, data []byte, children []warmer.Descriptor) error {
	ctx, err := r.hold(ctx, h)
	if err != nil {
		return err
	}
	store := r.client.ContentStore()
	labels := r.sources(h)
	numbers := map[string]int{}
	for _, c := range children {
		for _, key := range images.ChildGCLabels(descriptor(c)) {
			if strings.HasSuffix(key, ".") { // a list
				numbers[key]++
				key = fmt.Sprintf("%s%d", key, numbers[key]-1)
			}
			labels[key] = string(c.Digest)
		}
	}
	desc := descriptor(d)
	desc.Size = int64(len(data))
	err = content.WriteBlob(ctx, store, ingest(ctx, d), bytes.NewReader(data), desc, content.WithLabels(labels))
	if errdefs.IsFailedPrecondition(err) {
		_ = store.Abort(ctx, ingest(ctx, d)) // the next writer begins anew if this one is left
		return &warmer.DigestError{Ref: h.Want.Ref, Want: d.Digest, Got: digest.FromBytes(data).String()}
	}
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("store %s: %w", d.Digest, problem(err))
	}
	return r.label(ctx, h, d.Digest, labels)
}

// label sees to it that what somebody else may have stored has our labels, and our lease.
func (r *Runtime) label(ctx context.Context, h warmer.Hold, d warmer.Digest, labels map[string]string) error {
	store := r.client.ContentStore()
	info, err := store.Info(ctx, digest.Digest(d))
	if err != nil {
		return fmt.Errorf("store %s: %w", d, problem(err))
	}
	var paths []string
	for k, v := range labels {
		if info.Labels[k] != v && (info.Labels[k] == "" || !strings.HasPrefix(k, labelSource)) {
			paths = append(paths, "labels."+k)
		}
	}
	if len(paths) > 0 {
		if _, err := store.Update(ctx, content.Info{Digest: digest.Digest(d), Labels: labels}, paths...); err != nil {
			return fmt.Errorf("label %s: %w", d, problem(err))
		}
	}
	return r.addContent(ctx, r.leaseID(work, h.Key), d)
}

const labelSource = "containerd.io/distribution.source."

// sources is the label that says from where a blob came: pushes mount by it.
func (r *Runtime) sources(h warmer.Hold) map[string]string {
	ref, err := warmer.ParseReference(h.Want.Ref)
	if err != nil {
		return map[string]string{}
	}
	host, path, _ := strings.Cut(ref.Repository, "/")
	return map[string]string{labelSource + host: path}
}

// ingest is the name of a download: containerd's own pulls use the same, so that one goes on with what the other began.
func ingest(ctx context.Context, d warmer.Descriptor) string {
	return remotes.MakeRefKey(ctx, descriptor(d))
}
