package image

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/tarpack"
)

// parallel is how many layers are fetched and unpacked at a time.
const parallel = 3

// Resolved is one platform's image. It is a [builder.Resolved].
type Resolved struct {
	options    *Options
	repository builder.Reader
	pin        builder.Pin
	manifest   v1.Hash
	config     *v1.ConfigFile
	layers     []layer
}

// Config is what the image's author wrote about running it: environment, user, entrypoint and so on. It is the
// caller's to change.
func (r *Resolved) Config() *v1.ConfigFile { return r.config.DeepCopy() }

// InputDigest is the digest of the platform's manifest.
func (r *Resolved) InputDigest(context.Context) (v1.Hash, error) { return r.manifest, nil }

// Pending is the size of the layers that are not in the store.
func (r *Resolved) Pending() int64 {
	var n int64
	seen := map[v1.Hash]bool{}
	for _, l := range r.layers {
		if _, packed, err := r.options.Store.Tree(layerKey(l)); !seen[l.Digest] && (err != nil || !packed) {
			n += l.Size
		}
		seen[l.Digest] = true
	}
	return n
}

// Pins is the image's name with the digest of what it stood for: the index, if it is one.
func (r *Resolved) Pins() []builder.Pin { return []builder.Pin{r.pin} }

// Tree fetches the layers that are not in the store, and lays all over each other. It returns a [builder.Error] of kind
// Input if a layer is not what the image's config says.
func (r *Resolved) Tree(ctx context.Context) (builder.Tree, error) {
	layers := make([]tarpack.Contents, len(r.layers))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, l := range r.layers {
		group.Go(func() (err error) {
			if layers[i], err = r.unpack(groupCtx, l); err != nil {
				return fmt.Errorf("image %s: layer %s: %w", r.options.Ref, l.Digest, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return builder.Tree{}, err //nolint:wrapcheck // says it all
	}
	return flatten(layers), nil
}

// Remote reports that layers may have to be downloaded.
func (r *Resolved) Remote() bool { return true }
