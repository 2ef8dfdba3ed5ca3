package builder

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Source is somewhere that files come from: a folder, an archive, Debian packages, another image. One Source
// serves all platforms.
type Source interface {
	// Resolve finds out what the source holds now for one platform. It may ask remote indexes and list
	// directories, but it does not fetch or read file contents that [Resolved.InputDigest] and
	// [Resolved.Tree] would not need.
	Resolve(ctx context.Context, platform v1.Platform) (Resolved, error)
}

// Resolved is a source pinned to one state of its content.
type Resolved interface {
	// InputDigest is a digest of the content that Tree will yield: file hashes, an archive's hash, package
	// hashes; never a URL, a command's text, a time or a host path. Equal digests mean equal trees.
	// It may read contents (a local folder that changed), so it may take time.
	InputDigest(ctx context.Context) (v1.Hash, error)
	// Tree yields the entries, relative to the source's own root. It fetches and unpacks what is not
	// cached yet. On failure nothing is left in the cache that a later call would take for whole.
	Tree(ctx context.Context) (Tree, error)
	// Pending is the number of bytes Tree would fetch from elsewhere now: 0 when all is cached or local,
	// -1 when the origin does not tell.
	Pending() int64
	// Pins are the mutable names that Resolve had to pin ("debian:bookworm-slim" to a digest): they go to the lock.
	Pins() []Pin
}

// Pin records which immutable thing a mutable name stood for when it was resolved.
type Pin struct {
	Name   string
	Digest v1.Hash
}

// Material is an immutable thing that an image was made of: a package file, an archive, another image. Provenance lists it.
type Material struct {
	// URI says where it is from, as a package URL or a URL without credentials; it may be empty.
	URI string `json:"uri,omitempty"`
	// Name is for people.
	Name   string  `json:"name,omitempty"`
	Digest v1.Hash `json:"digest"`
}
