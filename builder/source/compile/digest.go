package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// rules names how sources become a scratch folder, and that a tree. It is part of the digests.
const rules = "compile 1"

// InputDigest is of all that goes into the outputs: the sources and their places, the command, its variables, the
// outputs' places, the platform, and what the toolchain says of itself. Other than of other sources it does cover a
// command's text: what the command will make is not known before.
//
// Where the command cannot run, the toolchain is left out: see [Resolved.Portable].
func (r *Resolved) InputDigest(ctx context.Context) (v1.Hash, error) {
	portable, err := r.Portable(ctx)
	if err != nil {
		return v1.Hash{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.digest != (v1.Hash{}) {
		return r.digest, nil
	}
	if !r.here() {
		return portable, nil
	}
	tools, err := r.toolchain(ctx)
	if err != nil {
		return v1.Hash{}, r.failed(err)
	}
	r.digest = sum([]byte(rules + "\n" + portable.String() + "\n" + tools))
	return r.digest, nil
}

// Portable is InputDigest without the toolchain: it is the same on every machine.
func (r *Resolved) Portable(ctx context.Context) (v1.Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.portable != (v1.Hash{}) {
		return r.portable, nil
	}
	o := r.options
	said := []any{rules, r.platform.String(), o.Created.Unix(), o.Command, o.WorkingDir, o.Env, o.Outputs}
	if o.Runner != nil {
		said = append(said, r.tools.Digest.String(), o.Cross)
	}
	for _, in := range r.inputs {
		digest, err := in.resolved.InputDigest(ctx)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("%s: %w", in.Origin, err)
		}
		said = append(said, []any{digest.String(), in.Include, in.Exclude, in.Destination})
	}
	text, err := json.Marshal(said)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("digest of %s: %w", o.Name, err)
	}
	r.portable = sum(text)
	return r.portable, nil
}

func sum(text []byte) v1.Hash {
	s := sha256.Sum256(text)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(s[:])}
}
