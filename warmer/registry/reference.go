package registry

import (
	"crypto/sha256"
	_ "crypto/sha512" // makes its digests known
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// ErrReference is matched when a reference or a digest does not parse.
var ErrReference = errors.New("not an image reference")

// Reference names an image the way container runtimes understand it. Exactly one of Tag and Digest is set.
type Reference struct {
	// Registry is a host, with its port if it has one; docker.io for Docker Hub.
	Registry string
	// Repository has no registry: library/debian.
	Repository string
	Tag        string
	Digest     warmer.Digest
}

// maxReference bounds a reference; the longest valid one is shorter.
const maxReference = 1024

// ParseReference understands what docker pull and kubelet do: debian is docker.io/library/debian:latest, and of a tag and
// a digest the digest counts.
func ParseReference(s string) (Reference, error) {
	if len(s) > maxReference {
		return Reference{}, fmt.Errorf("%w: more than %d bytes", ErrReference, maxReference)
	}
	named, err := reference.ParseDockerRef(s)
	if err != nil {
		return Reference{}, fmt.Errorf("%w: %q: %w", ErrReference, s, err)
	}
	r := Reference{Registry: reference.Domain(named), Repository: reference.Path(named)}
	switch n := named.(type) {
	case reference.Digested:
		r.Digest = warmer.Digest(n.Digest())
	case reference.Tagged:
		r.Tag = n.Tag()
	}
	return r, nil
}

// String is the reference in full; parsing it gives the same.
func (r Reference) String() string {
	if r.Digest != "" {
		return r.Registry + "/" + r.Repository + "@" + string(r.Digest)
	}
	return r.Registry + "/" + r.Repository + ":" + r.Tag
}

func checkDigest(d warmer.Digest) error {
	if err := digest.Digest(d).Validate(); err != nil {
		return fmt.Errorf("%w: digest %q: %w", ErrReference, d, err)
	}
	return nil
}

// digestOf uses the algorithm of want, which is valid.
func digestOf(raw []byte, want warmer.Digest) warmer.Digest {
	return warmer.Digest(digest.Digest(want).Algorithm().FromBytes(raw))
}

func sha256Of(raw []byte) warmer.Digest {
	sum := sha256.Sum256(raw)
	return warmer.Digest("sha256:" + hex.EncodeToString(sum[:]))
}
