package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// unpackRules names the rules by which an archive becomes a tree in the store.
const unpackRules = "archive 1"

// Resolved is an archive whose files were found. It is a [builder.Resolved], used by one goroutine.
type Resolved struct {
	options *Options
	local   volume  // nil if it is to be downloaded
	objects Objects // nil unless it is in an object store
	digest  v1.Hash
}

// InputDigest is of the archive's bytes, and of how to read them. It reads local files that the memo does not know.
func (r *Resolved) InputDigest(ctx context.Context) (v1.Hash, error) {
	if r.digest != (v1.Hash{}) {
		return r.digest, nil
	}
	sums := []string{r.options.SHA256}
	switch {
	case r.objects != nil && r.options.SHA256 == "":
		sums = r.objects.Contents()
	case r.local != nil:
		var err error
		if sums, err = r.hash(ctx); err != nil {
			return v1.Hash{}, r.failed(err)
		}
	}
	digest := digestOf(unpackRules, string(r.options.Format), fmt.Sprint(r.options.StripComponents), strings.Join(sums, " "))
	if r.local != nil && r.options.SHA256 != "" {
		if err := r.check(ctx, digest, sums); err != nil {
			return v1.Hash{}, r.failed(err)
		}
	}
	r.digest = digest
	return digest, nil
}

func digestOf(lines ...string) v1.Hash {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// hash returns the digests of the local files, in hexadecimal.
func (r *Resolved) hash(ctx context.Context) ([]string, error) {
	entries := make([]builder.Entry, len(r.local))
	var unknown []*builder.Entry
	for i, f := range r.local {
		entries[i] = builder.Entry{Path: f.Name, Type: builder.Regular, Size: f.Stat.Size, Content: f}
		if known, ok := f.Memo.Lookup(f.Name, f.Stat); ok {
			entries[i].SHA256 = known
			continue
		}
		unknown = append(unknown, &entries[i])
	}
	if len(unknown) > 0 {
		if err := r.options.Hash(ctx, slices.Values(unknown)); err != nil {
			return nil, err //nolint:wrapcheck // names the file
		}
	}
	sums := make([]string, len(entries))
	for i := range entries {
		sums[i] = entries[i].SHA256.Hex
	}
	return sums, nil
}

// check holds the local bytes against the digest that the pipeline gives. Of parts that were unpacked before it was
// held then.
func (r *Resolved) check(ctx context.Context, digest v1.Hash, sums []string) error {
	if len(sums) > 1 {
		if _, unpacked, err := r.options.Store.Tree(r.key(digest)); unpacked || err != nil {
			return err //nolint:wrapcheck // names the cache
		}
	}
	return r.hold(ctx, r.local, sums)
}

// hold compares the digest of the whole with the pipeline's.
func (r *Resolved) hold(ctx context.Context, v volume, sums []string) error {
	got := sums[0]
	if len(sums) > 1 {
		whole := sha256.New()
		in := v.open()
		_, err := io.Copy(whole, &cancellable{ctx: ctx, r: in})
		if err := errors.Join(err, in.Close()); err != nil {
			return err
		}
		got = hex.EncodeToString(whole.Sum(nil))
	}
	if got != r.options.SHA256 {
		return builder.Errorf(builder.Input, "get the archive anew, or correct sha256 if you trust this one", "its sha256 is %s, but the pipeline says %s", got, r.options.SHA256)
	}
	return nil
}

// key is the unpacked archive's key in the store: with the digest that the whole was held against.
func (r *Resolved) key(digest v1.Hash) v1.Hash {
	return digestOf(digest.String(), r.options.SHA256)
}

// Tree unpacks the archive into the store, unless it is there.
func (r *Resolved) Tree(ctx context.Context) (builder.Tree, error) {
	digest, err := r.InputDigest(ctx)
	if err != nil {
		return builder.Tree{}, err
	}
	tree, err := r.options.Store.Fill(ctx, r.key(digest), func(w *pack.Writer) error { return r.fill(ctx, w) })
	if err != nil {
		return builder.Tree{}, r.failed(err)
	}
	return pack.Link(tree), nil
}

func (r *Resolved) fill(ctx context.Context, w *pack.Writer) error {
	v := r.local
	var err error
	switch {
	case r.objects != nil:
		v, err = r.fetch(ctx)
	case v == nil:
		v, err = r.download(ctx)
	}
	if err != nil {
		return err
	}
	return unpack(ctx, w, v, r.options)
}

// fetch gets the pieces from the object store and holds the whole against the digest that the pipeline gives.
func (r *Resolved) fetch(ctx context.Context) (volume, error) {
	names, hashes, err := r.objects.Fetch(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the object
	}
	var v volume
	sums := make([]string, len(names))
	for i, name := range names {
		f, err := pin(name)
		if err != nil {
			return nil, err
		}
		v, sums[i] = append(v, f), hashes[i].Hex
	}
	if r.options.SHA256 == "" {
		return v, nil
	}
	return v, r.hold(ctx, v, sums)
}

func (r *Resolved) failed(err error) error { return fmt.Errorf("%s: %w", r.options.name(), err) }

// Pending is 0 for local files, and for what is unpacked or was downloaded; else what the store says, or -1.
func (r *Resolved) Pending() int64 {
	if r.local != nil {
		return 0
	}
	digest, err := r.InputDigest(context.Background()) // reads nothing
	if err == nil {
		if _, unpacked, err := r.options.Store.Tree(r.key(digest)); err == nil && unpacked {
			return 0
		}
	}
	if r.objects != nil {
		return r.objects.Pending()
	}
	if _, err := os.Stat(filepath.Join(r.options.CacheDir, folder, r.options.SHA256)); err == nil {
		return 0
	}
	return -1
}

// Pins is empty: a URL's digest is in the pipeline.
func (r *Resolved) Pins() []builder.Pin { return nil }

// cancellable is a reader that ends with the context.
type cancellable struct {
	ctx context.Context //nolint:containedctx // a reader has no other way
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err //nolint:wrapcheck // the caller's own
	}
	return c.r.Read(p) //nolint:wrapcheck // a reader passes errors on
}

// Remote reports whether the archive may have to be downloaded.
func (r *Resolved) Remote() bool { return r.local == nil }
