package apt

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// treeFormat names the rules by which packages become a tree. It is part of the input digest.
const treeFormat = "apt tree 1"

// parallel is how many packages are fetched and unpacked at a time.
const parallel = 4

// Resolved is a set of packages in certain versions. It is a [builder.Resolved].
type Resolved struct {
	options  *Options
	packages []Package // by name
}

// Packages lists the packages that the tree is made of, by name.
func (r *Resolved) Packages(context.Context) ([]Package, error) { return slices.Clone(r.packages), nil }

// InputDigest is a digest of the packages' names, versions and hashes, and of UsrMerge. Packages that are the same
// everywhere have the same digest on every platform.
func (r *Resolved) InputDigest(context.Context) (v1.Hash, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\nusrmerge %t\n", treeFormat, r.options.UsrMerge)
	for _, p := range r.packages {
		fmt.Fprintf(h, "%s %s %s %s\n", p.Name, p.Version, p.Architecture, p.SHA256)
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, nil
}

// Pending is the size of the packages that are to be downloaded.
func (r *Resolved) Pending() int64 {
	var n int64
	for _, p := range r.packages {
		_, local := p.localPath()
		if _, packed, err := r.options.Store.Tree(packKey(p)); !local && (err != nil || !packed) {
			n += p.Size
		}
	}
	return n
}

// Pins are the named packages, with the hash of the version that was found.
func (r *Resolved) Pins() []builder.Pin {
	var pins []builder.Pin
	for _, p := range r.packages {
		if p.Named {
			pins = append(pins, builder.Pin{Name: fmt.Sprintf("deb:%s=%s:%s", p.Name, p.Version, p.Architecture), Digest: p.SHA256})
		}
	}
	return pins
}

// Tree fetches and unpacks the packages that are not in the store, and merges all. It returns a [builder.Error] of
// kind Input if a package is damaged, or two do not go together.
func (r *Resolved) Tree(ctx context.Context) (builder.Tree, error) {
	unpacked := make([]unpacked, len(r.packages))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, i := range r.largestFirst() {
		group.Go(func() (err error) {
			unpacked[i], err = r.unpack(groupCtx, r.packages[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return builder.Tree{}, err //nolint:wrapcheck // unpack names the package
	}
	return merge(unpacked, r.options.UsrMerge)
}

// largestFirst orders the work so that no long download begins when all else is done.
func (r *Resolved) largestFirst() []int {
	order := make([]int, len(r.packages))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(r.packages[b].Size, r.packages[a].Size) })
	return order
}

// Remote reports that packages may have to be downloaded.
func (r *Resolved) Remote() bool { return true }
