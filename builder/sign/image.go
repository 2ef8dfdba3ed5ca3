package sign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/evidence"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/provenance"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

// Annotations of a layer that cosign looks for.
const (
	cosignSignature = "dev.cosignproject.cosign/signature"
	cosignPredicate = "predicateType"
)

// Report is what [Image] did.
type Report struct {
	Digest string `json:"digest"`
	// Signed counts the statements that are signed now.
	Signed int `json:"signed"`
}

// Image signs the newest provenance and bills of materials that are attached to an image: each platform's manifest gets its
// bill and the provenance, and the index gets all of them. Signing again with the same key changes nothing. An image that
// has no provenance is an Input error.
func Image(ctx context.Context, repo builder.Repository, reference string, key *Key) (*Report, error) {
	img, err := inspect.Load(ctx, repo, reference)
	if err != nil {
		return nil, err
	}
	statements, err := evidence.Provenances(ctx, repo, img.Descriptor.Digest)
	if err != nil {
		return nil, err
	}
	if len(statements) == 0 {
		return nil, builder.Errorf(builder.Input, "build it with this builder, or sign it with cosign", "%s has no provenance", img.Descriptor.Digest)
	}
	source, err := sealed(ctx, key, provenance.PredicateType, statements[len(statements)-1].Content)
	if err != nil {
		return nil, err
	}
	all := []attach.Part{source}
	for _, p := range img.Platforms {
		bill, err := sealedBill(ctx, repo, key, img.Descriptor.Digest, p)
		if err != nil {
			return nil, err
		}
		all = append(all, bill)
		if p.Manifest.Digest == img.Descriptor.Digest {
			continue // no index
		}
		if err := put(ctx, repo, p.Manifest, key, []attach.Part{source, bill}); err != nil {
			return nil, err
		}
	}
	if err := put(ctx, repo, img.Descriptor, key, all); err != nil {
		return nil, err
	}
	return &Report{img.Descriptor.Digest.String(), len(all)}, nil
}

func sealedBill(ctx context.Context, repo builder.Reader, key *Key, index v1.Hash, p inspect.Platform) (attach.Part, error) {
	bills, err := evidence.SBOMs(ctx, repo, p.Manifest.Digest)
	if err != nil {
		return attach.Part{}, err
	}
	if len(bills) == 0 {
		return attach.Part{}, builder.Errorf(builder.Input, "build it with this builder", "%s has no bill of materials for %s", index, p.Platform)
	}
	subjects := []provenance.Subject{provenance.NewSubject(p.Platform.String(), p.Manifest.Digest)}
	if p.Manifest.Digest != index {
		subjects = append(subjects, provenance.NewSubject("index", index))
	}
	statement, err := provenance.NewStatement(subjects, sbom.PredicateType, bills[len(bills)-1].Content)
	if err != nil {
		return attach.Part{}, err
	}
	return sealed(ctx, key, sbom.PredicateType, statement)
}

func sealed(ctx context.Context, key *Key, predicateType string, statement []byte) (attach.Part, error) {
	envelope, err := Seal(ctx, key, statement)
	if err != nil {
		return attach.Part{}, fmt.Errorf("sign: %w", err)
	}
	return attach.Part{MediaType: EnvelopeType, Content: envelope, Annotations: map[string]string{cosignSignature: "", cosignPredicate: predicateType}}, nil
}

// put attaches envelopes beside those of other keys, and tags the artifact as cosign expects it.
func put(ctx context.Context, repo builder.Repository, subject v1.Descriptor, key *Key, parts []attach.Part) error {
	have, err := envelopes(ctx, repo, subject.Digest)
	if err != nil && !errors.Is(err, builder.ErrNotFound) {
		return fmt.Errorf("read the signatures that are there: %w", err)
	}
	parts = append(slices.DeleteFunc(have, func(p attach.Part) bool { return signedBy(p.Content, key.id) }), parts...)
	d, err := attach.Put(ctx, repo, subject, EnvelopeType, parts)
	if err != nil {
		return fmt.Errorf("attach signatures: %w", err)
	}
	_, raw, err := repo.Manifest(ctx, d.Digest.String())
	if err != nil {
		return err
	}
	return repo.Tag(ctx, attach.AttestationTag(subject.Digest), d, raw)
}

// signedBy reports whether an envelope names the key.
func signedBy(raw []byte, id string) bool {
	var e dsse.Envelope
	return json.Unmarshal(raw, &e) == nil && slices.ContainsFunc(e.Signatures, func(s dsse.Signature) bool { return s.KeyID == id })
}

// Envelopes reads the signed statements of an image, as they are: nothing is checked. Those that cosign put are among them.
// The error matches [builder.ErrNotFound] if there is none.
func Envelopes(ctx context.Context, repo builder.Reader, subject v1.Hash) ([][]byte, error) {
	parts, err := envelopes(ctx, repo, subject)
	var out [][]byte
	for _, p := range parts {
		if p.MediaType == EnvelopeType {
			out = append(out, p.Content)
		}
	}
	return out, err
}

func envelopes(ctx context.Context, repo builder.Reader, subject v1.Hash) ([]attach.Part, error) {
	d, err := repo.Head(ctx, attach.AttestationTag(subject))
	if err != nil {
		return nil, err
	}
	return attach.Read(ctx, repo, d.Digest)
}
