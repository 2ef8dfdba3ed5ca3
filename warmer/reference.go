package warmer

import (
	"fmt"

	"github.com/distribution/reference"
)

// Reference is a parsed image reference, as kubelet understands it: a name without a registry is Docker's, one without a
// tag or digest means latest, and a digest makes the tag beside it meaningless.
type Reference struct {
	// Repository is the registry's host and the repository in it.
	Repository string
	Tag        string // or
	Digest     Digest
}

// ParseReference reads a reference from a pod, a command line or a WarmSet: any text.
func ParseReference(s string) (Reference, error) {
	named, err := reference.ParseDockerRef(s)
	if err != nil {
		return Reference{}, fmt.Errorf("image %q: %w", s, err)
	}
	out := Reference{Repository: named.Name()}
	switch r := named.(type) {
	case reference.Canonical:
		out.Digest = Digest(r.Digest())
		if err := out.Digest.Validate(); err != nil {
			return Reference{}, fmt.Errorf("image %q: %w", s, err)
		}
	case reference.Tagged:
		out.Tag = r.Tag()
	}
	return out, nil
}

// String is the reference in full, which is also the name of its record in containerd.
func (r Reference) String() string {
	if r.Digest != "" {
		return r.Repository + "@" + string(r.Digest)
	}
	return r.Repository + ":" + r.Tag
}

// Records are the names under which kubelet looks for an image that the reference stands for: the reference, the reference
// by digest, and the image's ID, which is its configuration's digest.
func (r Reference) Records(target, config Digest) []string {
	byDigest := Reference{Repository: r.Repository, Digest: target}.String()
	names := []string{r.String()}
	if byDigest != names[0] {
		names = append(names, byDigest)
	}
	return append(names, string(config))
}
