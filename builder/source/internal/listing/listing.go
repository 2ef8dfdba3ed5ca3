// Package listing is the resolved state of sources whose entries are known at once and whose contents are at hand:
// a local folder, files of the repository.
package listing

import (
	"context"
	"fmt"
	"iter"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/merge"
)

// Hash sets the SHA256 of the entries it is given, all Regular, and tells their contents so if they want to know
// ([builder.Rememberer]).
type Hash func(ctx context.Context, files iter.Seq[*builder.Entry]) error

// Resolved is a sorted list of entries. It is a [builder.Resolved].
type Resolved struct {
	tree builder.Tree
	hash Hash

	mu     sync.Mutex // held while digest and the entries' SHA256 are set
	digest v1.Hash
}

// New takes over entries, which are sorted by path. hash is called by InputDigest for the files without a digest.
func New(entries []builder.Entry, hash Hash) *Resolved {
	return &Resolved{tree: builder.Tree{Entries: entries}, hash: hash}
}

// InputDigest hashes the files whose digests are unknown, and then the list.
func (r *Resolved) InputDigest(ctx context.Context) (v1.Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.digest != (v1.Hash{}) {
		return r.digest, nil
	}
	if err := r.hashFiles(ctx); err != nil {
		return v1.Hash{}, err
	}
	digest, err := merge.Digest(r.tree)
	if err != nil {
		return v1.Hash{}, err
	}
	r.digest = digest
	return digest, nil
}

func (r *Resolved) hashFiles(ctx context.Context) error {
	for range r.unknown {
		if err := r.hash(ctx, r.unknown); err != nil {
			return fmt.Errorf("hash files: %w", err)
		}
		break
	}
	return nil
}

// unknown yields the files without a digest.
func (r *Resolved) unknown(yield func(*builder.Entry) bool) {
	for e := range r.tree.Files() {
		if e.SHA256 == (v1.Hash{}) && !yield(e) {
			return
		}
	}
}

// Tree returns the very entries that InputDigest fills in the digests of, so that nobody computes them twice. Call it
// after InputDigest, or use neither while the other runs.
func (r *Resolved) Tree(context.Context) (builder.Tree, error) { return r.tree, nil }

// Pending is 0: everything is local.
func (r *Resolved) Pending() int64 { return 0 }

// Pins is empty: a path is no name that a lock could pin.
func (r *Resolved) Pins() []builder.Pin { return nil }
