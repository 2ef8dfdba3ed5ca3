package builder

import (
	"context"
	"errors"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Blob is a sequence of bytes that can be produced any number of times, always the same: a virtual layer,
// a config, a blob in another repository.
type Blob interface {
	// Descriptor is the blob's media type, digest and size. ok is false while nobody has produced the
	// bytes yet, so that only MediaType is set.
	Descriptor() (d v1.Descriptor, ok bool)
	// SizeHint is the number of bytes WriteTo will produce, or a close upper bound.
	SizeHint() int64
	// WriteTo produces the bytes from the start and returns their descriptor. It stops at the context's
	// end or w's first error. If the input changed since an earlier pass the error matches [ErrChanged].
	WriteTo(ctx context.Context, w io.Writer) (v1.Descriptor, error)
}

// Transfer says how a blob came to be where it was put.
type Transfer int

// The ways a blob can get into a repository, cheapest first.
const (
	Reused  Transfer = iota // it was there already
	Mounted                 // the registry linked it from another of its repositories
	Pushed                  // its bytes were sent
)

// Put is the outcome of [Repository.PutBlob].
type Put struct {
	Descriptor v1.Descriptor
	Transfer   Transfer
}

// Reader reads one repository: a registry repository or an OCI layout.
type Reader interface {
	// Manifest returns a manifest or index by tag or digest ("sha256:…"), checked against its digest.
	// It returns an error matching [ErrNotFound] if there is none.
	Manifest(ctx context.Context, reference string) (v1.Descriptor, []byte, error)
	// Head is Manifest without the body: one cheap request.
	Head(ctx context.Context, reference string) (v1.Descriptor, error)
	// OpenBlob streams a blob. The stream returns an error at its end if the bytes do not have d's digest or size.
	OpenBlob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
	// HasBlob reports whether the blob is there, in whole.
	HasBlob(ctx context.Context, d v1.Descriptor) (bool, error)
}

// Repository is a [Reader] that can be written to. Everything is safe for concurrent use. A method that fails
// or is cut short leaves nothing behind that a reader would take for whole.
type Repository interface {
	Reader
	// Name identifies the repository to users and to PutBlob's from ("host/path" for a registry).
	Name() string
	// PutBlob makes the blob present: nothing is sent when its digest is known and already there or can be
	// mounted from one of the named repositories of the same registry (each holding a manifest that
	// references it, as ECR requires).
	PutBlob(ctx context.Context, blob Blob, from ...string) (Put, error)
	// PutManifest stores a manifest or index under its digest. Everything it references must be there.
	PutManifest(ctx context.Context, mediaType string, raw []byte) (v1.Descriptor, error)
	// Tag points tag at a manifest that is there. It is the last step of a publication.
	Tag(ctx context.Context, tag string, d v1.Descriptor, raw []byte) error
}

func (t Transfer) String() string {
	return [...]string{"reused", "mounted", "pushed"}[t]
}

// Bytes is a small blob held in memory: a config, a part of an artifact.
type Bytes struct {
	Desc    v1.Descriptor
	Content []byte
}

// Descriptor implements [Blob].
func (b Bytes) Descriptor() (v1.Descriptor, bool) { return b.Desc, true }

// SizeHint implements [Blob].
func (b Bytes) SizeHint() int64 { return b.Desc.Size }

// WriteTo implements [Blob].
func (b Bytes) WriteTo(_ context.Context, w io.Writer) (v1.Descriptor, error) {
	_, err := w.Write(b.Content)
	return b.Desc, err
}

// Copied is a blob that is read from another repository, should it not be mountable.
type Copied struct {
	From Reader
	Desc v1.Descriptor
}

// Descriptor implements [Blob].
func (c Copied) Descriptor() (v1.Descriptor, bool) { return c.Desc, true }

// SizeHint implements [Blob].
func (c Copied) SizeHint() int64 { return c.Desc.Size }

// WriteTo implements [Blob].
func (c Copied) WriteTo(ctx context.Context, w io.Writer) (d v1.Descriptor, err error) {
	body, err := c.From.OpenBlob(ctx, c.Desc)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	_, err = io.Copy(w, body)
	return c.Desc, err
}
