package layer

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Layer is a virtual layer: it implements [builder.Blob]. It is safe for concurrent use, except that the entries' digests
// are filled in by the first complete WriteTo.
type Layer struct {
	entries []*builder.Entry
	codec   Codec
	epoch   time.Time
	// tarSize and sizeErr are set by sizeOnce.
	tarSize  int64
	sizeErr  error
	sizeOnce sync.Once
	// existing means that there are no entries to make the layer of.
	existing bool

	mu     sync.Mutex
	known  bool
	desc   v1.Descriptor
	diffID v1.Hash
	key    v1.Hash // once it could be computed
}

// New makes a layer of the entries, which must be sorted by path with every parent directory among them. A zero
// epoch means 1970.
func New(entries []*builder.Entry, codec Codec, epoch time.Time) (*Layer, error) {
	if epoch.IsZero() {
		epoch = time.Unix(0, 0)
	}
	if err := checkEntries(entries); err != nil {
		return nil, err
	}
	return &Layer{entries: entries, codec: codec, epoch: epoch}, nil
}

// NewDelta makes a layer that changes what is below it: entries, of which any folder above may be missing, and the paths
// to delete (OCI image spec, "Whiteouts").
func NewDelta(entries []*builder.Entry, gone []string, codec Codec, epoch time.Time) (*Layer, error) {
	if epoch.IsZero() {
		epoch = time.Unix(0, 0)
	}
	all := make([]*builder.Entry, 0, len(entries)+len(gone))
	all = append(all, entries...)
	if err := checkNames(all); err != nil {
		return nil, err
	}
	for _, p := range gone {
		all = append(all, whiteout(p))
	}
	slices.SortFunc(all, func(a, b *builder.Entry) int { return strings.Compare(a.Path, b.Path) })
	return &Layer{entries: all, codec: codec, epoch: epoch}, nil
}

// Existing is a layer that is somewhere already and of which only that is known: it cannot be made again.
func Existing(d v1.Descriptor, diffID, key v1.Hash, codec Codec) *Layer {
	return &Layer{codec: codec, known: true, existing: true, desc: d, diffID: diffID, key: key}
}

// IsExisting reports whether the layer was made by [Existing].
func (l *Layer) IsExisting() bool { return l.existing }

// Name is a path that tells people which layer this is.
func (l *Layer) Name() string {
	if len(l.entries) == 0 {
		return l.desc.Digest.String()
	}
	return l.entries[len(l.entries)-1].Path
}

// Entries are the layer's entries in order.
func (l *Layer) Entries() []*builder.Entry { return l.entries }

// Codec is how the layer is stored.
func (l *Layer) Codec() Codec { return l.codec }

// TarSize is the exact length of the uncompressed stream, or 0 if it cannot be made: WriteTo says why. It is worked out when
// it is asked for: of a layer that is known nobody does.
func (l *Layer) TarSize() int64 {
	size, _ := l.measure() // WriteTo fails with the error
	return size
}

func (l *Layer) measure() (int64, error) {
	l.sizeOnce.Do(func() {
		if !l.existing {
			l.tarSize, l.sizeErr = tarSize(l.entries, l.epoch)
		}
	})
	return l.tarSize, l.sizeErr
}

// SizeHint is the exact size of a stored or known layer, and the uncompressed size of another.
func (l *Layer) SizeHint() int64 {
	if d, ok := l.Descriptor(); ok {
		return d.Size
	}
	return l.TarSize()
}

// Descriptor is known after the first WriteTo, or SetKnown.
func (l *Layer) Descriptor() (v1.Descriptor, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known {
		return v1.Descriptor{MediaType: l.codec.MediaType()}, false
	}
	return l.desc, true
}

// DiffID is the digest of the uncompressed stream, known when the descriptor is.
func (l *Layer) DiffID() (v1.Hash, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.diffID, l.known
}

// SetKnown tells the layer what an earlier build found its bytes to be. A later WriteTo that yields something
// else fails.
func (l *Layer) SetKnown(d v1.Descriptor, diffID v1.Hash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.desc, l.diffID = true, d, diffID
}

// Key is a digest of all that the layer's bytes depend on. It fails while a file's digest is unknown: see [Hash].
func (l *Layer) Key() (v1.Hash, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.key != (v1.Hash{}) {
		return l.key, nil
	}
	h := sha256.New()
	fmt.Fprintf(h, "pitcrew layer 1\n%s\n%d\n", l.codec.ID(), l.epoch.Unix())
	var line []byte
	for _, e := range l.entries {
		if e.Type == builder.Regular && e.SHA256 == (v1.Hash{}) {
			return v1.Hash{}, fmt.Errorf("the digest of %s is not known yet", e.Path)
		}
		line = appendEntry(line[:0], e)
		h.Write(line)
	}
	l.key = sumOf(h)
	return l.key, nil
}

// appendEntry is unambiguous whatever path and link hold: their lengths come first.
func appendEntry(line []byte, e *builder.Entry) []byte {
	for _, n := range []int64{int64(len(e.Path)), int64(len(e.Link)), int64(e.Type), int64(e.Mode), int64(e.UID), int64(e.GID), e.Size} {
		line = strconv.AppendInt(line, n, 10)
		line = append(line, ' ')
	}
	line = append(line, e.SHA256.Hex...)
	line = append(line, ' ')
	line = append(line, e.Path...)
	return append(line, e.Link...)
}

func sumOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// WriteTo generates the layer. The error matches [builder.ErrChanged] if a file is not what the tree was made of, or if the
// bytes are not those of an earlier pass.
func (l *Layer) WriteTo(ctx context.Context, w io.Writer) (v1.Descriptor, error) {
	if l.existing {
		return v1.Descriptor{}, builder.Errorf(builder.Input, "build with --compact, which plans all layers afresh",
			"layer %s is not in the repository, and holds files that are no longer in the sources", l.desc.Digest)
	}
	if _, err := l.measure(); err != nil {
		return v1.Descriptor{}, err
	}
	blob := sha256.New()
	var size counter
	out := io.MultiWriter(w, blob, &size)
	diffID, err := l.encode(ctx, out, blob)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: l.codec.MediaType(), Digest: sumOf(blob), Size: int64(size)}
	return d, l.settle(d, diffID)
}

// encode writes the compressed stream and returns the diff ID. A stored layer is hashed once: its digest is its diff ID.
func (l *Layer) encode(ctx context.Context, out io.Writer, blob hash.Hash) (v1.Hash, error) {
	if l.codec.stored() {
		buffered := bufio.NewWriterSize(out, 256<<10)
		if err := writeTar(ctx, buffered, l.entries, l.epoch); err != nil {
			return v1.Hash{}, err
		}
		err := buffered.Flush()
		return sumOf(blob), err
	}
	enc, release, err := l.codec.encoder(out)
	if err != nil {
		return v1.Hash{}, err
	}
	defer release()
	diff := sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(diff, enc), 256<<10)
	if err := writeTar(ctx, buffered, l.entries, l.epoch); err != nil {
		return v1.Hash{}, err
	}
	if err := buffered.Flush(); err != nil {
		return v1.Hash{}, err
	}
	return sumOf(diff), enc.Close()
}

func (l *Layer) settle(d v1.Descriptor, diffID v1.Hash) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known && (l.desc.Digest != d.Digest || l.diffID != diffID) {
		return builder.Errorf(builder.Input, "let nothing write to the sources while they are built, then run the build again",
			"the layer that ends with %s: %w (it was %s, it is %s)", l.Name(), builder.ErrChanged, l.desc.Digest, d.Digest)
	}
	l.known, l.desc, l.diffID = true, d, diffID
	return nil
}
