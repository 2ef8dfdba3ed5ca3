package merge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Digest is a digest of everything the tree says: paths, types, modes, owners, links and contents. It fails while a
// file's digest is unknown.
func Digest(t builder.Tree) (v1.Hash, error) {
	h := sha256.New()
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Type == builder.Regular && e.SHA256 == (v1.Hash{}) {
			return v1.Hash{}, fmt.Errorf("the digest of %s is not known yet", e.Path)
		}
		fmt.Fprintf(h, "%d %o %d %d %d %s %q %q\n", e.Type, e.Mode, e.UID, e.GID, e.Size, e.SHA256.Hex, e.Path, e.Link)
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, nil
}
