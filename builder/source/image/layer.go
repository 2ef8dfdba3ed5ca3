package image

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder/source/internal/decompress"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/tarpack"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// unpackFormat names the rules by which a layer becomes a tree in the store.
const unpackFormat = "layer 1"

// maxTrailing is how much may be behind the end of a layer's tar archive.
const maxTrailing = 16 << 20

// layerKey is the layer's key in the store. It names both digests, since both were checked when the layer was unpacked.
func layerKey(l layer) v1.Hash {
	sum := sha256.Sum256([]byte(unpackFormat + "\n" + l.Digest.String() + "\n" + l.diffID.String()))
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

func (r *Resolved) unpack(ctx context.Context, l layer) (tarpack.Contents, error) {
	key := layerKey(l)
	tree, ok, err := r.options.Store.Tree(key)
	if err != nil {
		return tarpack.Contents{}, err //nolint:wrapcheck // Tree names the layer
	}
	if !ok {
		tree, err = r.options.Store.Fill(ctx, key, func(w *pack.Writer) error { return r.fill(ctx, l, w) })
		if err != nil {
			return tarpack.Contents{}, err //nolint:wrapcheck // likewise
		}
	}
	return tarpack.Read(tree) //nolint:wrapcheck // likewise
}

// fill streams a layer into the store. The bytes as they are in the registry are checked by the repository against
// the layer's digest, at their end, and the tar archive in them here against the diff ID.
func (r *Resolved) fill(ctx context.Context, l layer, w *pack.Writer) (err error) {
	body, err := r.repository.OpenBlob(ctx, l.Descriptor)
	if err != nil {
		return err //nolint:wrapcheck // Tree names the layer
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	packed := &observed{r: body}
	plain, err := open(bufio.NewReaderSize(packed, 64<<10))
	if err != nil {
		return packed.explain(err)
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	archive := &hashing{r: plain, h: sha256.New()}
	if err := tarpack.Add(ctx, w, archive); err != nil {
		return packed.explain(err)
	}
	if err := discardRest(archive, plain, packed); err != nil {
		return packed.explain(err)
	}
	if got := hex.EncodeToString(archive.h.Sum(nil)); got != l.diffID.Hex {
		return damaged("its content has the digest sha256:%s, but the image's config says %s", got, l.diffID)
	}
	return nil
}

// discardRest reads what is behind the end of the tar archive, so that both digests cover everything.
func discardRest(archive, plain, packed io.Reader) error {
	for _, r := range []io.Reader{archive, plain, packed} {
		n, err := io.CopyN(io.Discard, r, maxTrailing)
		if err == nil {
			return damaged("there are %d bytes or more behind the end of its archive", n)
		}
		if !errors.Is(err, io.EOF) {
			return err //nolint:wrapcheck // Tree names the layer
		}
	}
	return nil
}

// open tells the compression by its first bytes: media types are not always right about it.
func open(r *bufio.Reader) (io.ReadCloser, error) {
	lead, err := r.Peek(decompress.Lead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err //nolint:wrapcheck // Tree names the layer
	}
	return decompress.NewReader(decompress.Detect(lead), r) //nolint:wrapcheck // likewise
}

// observed remembers why the repository's stream ended, other than by its proper end.
type observed struct {
	r   io.Reader
	err error
}

func (o *observed) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if err != nil && err != io.EOF {
		o.err = err
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}

// explain prefers the stream's own error, which decompressors and tar readers may hide, to what came of it.
func (o *observed) explain(err error) error {
	if o.err == nil {
		_, _ = io.CopyN(io.Discard, o, maxTrailing) // a damaged blob shows at its end
	}
	if o.err != nil {
		return fmt.Errorf("fetch: %w", o.err)
	}
	return fmt.Errorf("unpack: %w", err)
}

// hashing sums what is read.
type hashing struct {
	r io.Reader
	h hash.Hash
}

func (s *hashing) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.h.Write(p[:n])
	return n, err //nolint:wrapcheck // a reader passes errors on
}
