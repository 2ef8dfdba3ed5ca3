package listing

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Digest is a digest of everything that the tree's layer would show: two trees have equal digests exactly if they
// are equal. Every file's SHA256 must be known.
func Digest(tree builder.Tree) (v1.Hash, error) {
	h := sha256.New()
	var line []byte
	for i := range tree.Entries {
		e := &tree.Entries[i]
		if e.Type == builder.Regular && e.SHA256 == (v1.Hash{}) {
			return v1.Hash{}, fmt.Errorf("digest of listing: %q was not hashed", e.Path)
		}
		line = appendEntry(line[:0], e)
		h.Write(line)
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, nil
}

// appendEntry writes each variable part with its length before it: no entry can pass for another.
func appendEntry(b []byte, e *builder.Entry) []byte {
	b = append(b, byte(e.Type))
	for _, n := range [...]uint64{uint64(e.Mode), uint64(e.UID), uint64(e.GID), uint64(e.Size)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range [...]string{e.Path, e.Link, e.SHA256.Algorithm, e.SHA256.Hex} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}
