package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// chunk is how much one message to containerd carries. With what is around it the message stays below 1 MiB: gRPC keeps no
// buffers for bigger ones on either side, and what it then has to allocate and clear made a whole pull a third slower.
const chunk = 1<<20 - 4<<10

// Fetch stores a blob.
func (r *Runtime) Fetch(ctx context.Context, h warmer.Hold, d warmer.Descriptor, open func(int64) (io.ReadCloser, error), progress func(int64)) error {
	ctx, err := r.hold(ctx, h)
	if err != nil {
		return err
	}
	if progress == nil {
		progress = func(int64) {}
	}
	err = r.fetch(ctx, h, d, open, progress)
	if errdefs.IsAlreadyExists(err) {
		return r.label(ctx, h, d.Digest, r.sources(h))
	}
	if _, damaged := errors.AsType[*warmer.DigestError](err); damaged {
		if err := r.client.ContentStore().Abort(context.WithoutCancel(ctx), ingest(ctx, d)); err != nil && !errdefs.IsNotFound(err) {
			r.log.Warn("damaged download stays", "digest", string(d.Digest), "error", err)
		}
	}
	return err
}

func (r *Runtime) fetch(ctx context.Context, h warmer.Hold, d warmer.Descriptor, open func(int64) (io.ReadCloser, error), progress func(int64)) error {
	var through *client.Client
	select {
	case through = <-r.writers:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { r.writers <- through }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the writer's stream, whatever state it is in
	w, err := content.OpenWriter(ctx, through.ContentStore(), content.WithRef(ingest(ctx, d)), content.WithDescriptor(descriptor(d)))
	if err != nil {
		return fmt.Errorf("store %s: %w", d.Digest, problem(err))
	}
	defer w.Close()
	status, err := w.Status()
	if err != nil {
		return fmt.Errorf("store %s: %w", d.Digest, problem(err))
	}
	offset := status.Offset
	if d.Size > 0 && offset > d.Size {
		return &warmer.DigestError{Ref: h.Want.Ref, Want: d.Digest, Got: fmt.Sprintf("%d bytes of %d", offset, d.Size)}
	}
	if offset < d.Size || d.Size == 0 {
		if offset, err = pour(w, h, d, offset, open, progress); err != nil {
			return err
		}
	}
	err = w.Commit(ctx, offset, digest.Digest(d.Digest), content.WithLabels(r.sources(h)))
	if errdefs.IsFailedPrecondition(err) {
		return &warmer.DigestError{Ref: h.Want.Ref, Want: d.Digest, Got: err.Error()}
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", d.Digest, problem(err))
	}
	return nil
}

// pour copies from offset to the end, which is returned.
func pour(w io.Writer, h warmer.Hold, d warmer.Descriptor, offset int64, open func(int64) (io.ReadCloser, error), progress func(int64)) (int64, error) {
	from, err := open(offset)
	if err != nil {
		return offset, err
	}
	defer from.Close()
	buffer := make([]byte, chunk)
	for {
		n, err := io.ReadFull(from, buffer)
		if d.Size > 0 && offset+int64(n) > d.Size {
			return offset, &warmer.DigestError{Ref: h.Want.Ref, Want: d.Digest, Got: fmt.Sprintf("more than its %d bytes", d.Size)}
		}
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return offset, fmt.Errorf("store %s: %w", d.Digest, problem(err))
			}
			offset += int64(n)
			progress(int64(n))
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return offset, fmt.Errorf("fetch %s: %w", d.Digest, err)
		case offset < d.Size:
			return offset, fmt.Errorf("fetch %s: cut off after %d of %d bytes: %w", d.Digest, offset, d.Size, warmer.ErrUnavailable)
		default:
			return offset, nil
		}
	}
}
