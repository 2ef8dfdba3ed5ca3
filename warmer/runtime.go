package warmer

import (
	"context"
	"io"
)

// Registry is where images come from. Its errors match [ErrNotFound], [ErrDenied] and [ErrUnavailable], and may be a
// [RegistryError].
type Registry interface {
	// Resolve says what a tag stands for, with one request, and of a digest what it is, with none.
	Resolve(ctx context.Context, ref string) (Descriptor, error)
	// Manifest returns an index or a manifest that has d's digest.
	Manifest(ctx context.Context, ref string, d Descriptor) ([]byte, Descriptor, error)
	// Blob returns a blob's bytes from offset on. Nobody has compared them with the digest.
	Blob(ctx context.Context, ref string, d Descriptor, offset int64) (io.ReadCloser, error)
}

// Hold is under what name the parts of an image are kept while it is not complete; for assets alone, for good.
type Hold struct {
	// Key is the want's.
	Key string
	// Want is what it is for.
	Want Want
}

// Content is a node's content store.
type Content interface {
	// Target is what the node has for a want, or [ErrNotFound].
	Target(ctx context.Context, w Want) (Descriptor, error)
	// Read returns a small blob, or [ErrNotFound].
	Read(ctx context.Context, d Descriptor) ([]byte, error)
	// Put stores a small blob, which refers to children. It is compared with its digest.
	Put(ctx context.Context, h Hold, d Descriptor, data []byte, children []Descriptor) error
	// Fetch stores a blob. It goes on where an earlier call was cut off: open is called with the offset, once, and not at
	// all if somebody else stored the blob in the meantime. progress, if not nil, is told of bytes as they are stored. Bytes that are not those of the digest are
	// dropped, all of them, and a [DigestError] returned.
	Fetch(ctx context.Context, h Hold, d Descriptor, open func(offset int64) (io.ReadCloser, error), progress func(int64)) error
}

// Access is how a runtime reaches registries by itself.
type Access struct {
	// HostsDir is the folder of hosts.toml files, at the same path for the runtime. PlainHTTP is for registries that it says
	// nothing about.
	HostsDir  string
	PlainHTTP bool
	// Credentials are those for a host's repository, empty where there are none. A user "" means that the secret is an
	// identity token.
	Credentials func(ctx context.Context, host, repository string) (user, secret string, err error)
}

// Transferrer brings whole images without their bytes passing through this program, which is faster and takes less of the
// processor. How many blobs come at a time, and how fast, is the runtime's affair.
type Transferrer interface {
	// Transfers says that the runtime can.
	Transfers() bool
	// Transfer brings the blobs of an image's layers that are missing. It goes on where a download was cut off, and
	// [Content.Fetch] goes on with what it leaves when it fails or ctx ends. told hears, one call after the other, how much of
	// a blob is there while it comes, and before Transfer returns of each one that has become complete.
	Transfer(ctx context.Context, h Hold, i Image, a Access, told func(Digest, Blob)) error
}

// Unpacker makes layers file systems.
type Unpacker interface {
	// Ahead says that a layer can be unpacked before the one below it is.
	Ahead() bool
	// Unpack makes layer i of an image a snapshot. Unless [Unpacker.Ahead] allows otherwise the one below it is there. If it
	// is not, applied is called once the layer lies unpacked on the disk, and Unpack goes on to wait, for as long as ctx
	// allows, until whoever unpacks the one below has done so. If that is in vain what is applied stays under the hold, and the
	// next call goes on with it; anything less is removed.
	Unpack(ctx context.Context, h Hold, layers []Layer, i int, applied func()) error
}

// Keeper names, holds and releases whole images.
type Keeper interface {
	// Observe looks at what is there of an image.
	Observe(ctx context.Context, w Want, i Image) (Observed, error)
	// Held lists what this owner holds.
	Held(ctx context.Context) ([]Held, error)
	// Keep gives a complete image its names, labels and pin, and takes it that nothing else holds it up.
	Keep(ctx context.Context, h Hold, i Image) error
	// Abandon gives up what was fetched for an image that is not complete.
	Abandon(ctx context.Context, h Hold) error
	// Unpin and Evict are for keys that Held listed.
	Unpin(ctx context.Context, key string) error
	Evict(ctx context.Context, key string) error
	// Disk looks at the file system; its floor is 0.
	Disk(ctx context.Context) (Disk, error)
}

// Event is something that happened on the node.
type Event struct {
	// Created is a container that was made, from Image.
	Created string
	Image   string
	// Sandbox says that it is a pod's own container, which holds its namespaces.
	Sandbox bool
	// Gone says that an image record was removed.
	Gone bool
}

// Events tells what happens on a node.
type Events interface {
	// Watch tells until ctx ends, when it returns nil, or the connection.
	Watch(ctx context.Context, tell func(Event)) error
}

// Runtime is a node's container runtime.
type Runtime interface {
	Content
	Transferrer
	Unpacker
	Keeper
	Events
}

// Observed is what a node has of an image.
type Observed struct {
	// Documents says that index, manifest and configuration are there.
	Documents bool
	Blobs     map[Digest]Blob
	Snapshots map[Digest]bool
	Kept      bool
}
