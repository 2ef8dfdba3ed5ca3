package merge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Digest is a digest of everything the tree says: paths, types, modes, owners, links and contents. It fails while a
// file's digest is unknown.
func Digest(t builder.Tree) (v1.Hash, error) {
	h := sha256.New()
	var line []byte
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Type == builder.Regular && e.SHA256 == (v1.Hash{}) {
			return v1.Hash{}, fmt.Errorf("the digest of %s is not known yet", e.Path)
		}
		line = line[:0]
		for _, n := range []int64{int64(len(e.Path)), int64(len(e.Link)), int64(e.Type), int64(e.Mode), int64(e.UID), int64(e.GID), e.Size} {
			line = strconv.AppendInt(line, n, 10)
			line = append(line, ' ')
		}
		line = append(line, e.SHA256.Hex...)
		line = append(line, e.Path...)
		h.Write(append(line, e.Link...)) // lengths come first: nothing else reads the same
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, nil
}
