// Package evidence keeps what says where an image comes from and what is in it as artifacts beside it: its provenance, a bill
// of materials for each platform, the list of its asset files, and the signed form of these. See docs/contract.md.
package evidence

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/provenance"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

// The types of the artifacts. A provenance's is that of its one part, and so is a bill of materials'.
const (
	FilesType      = "application/vnd.dev.pitcrew.assets-files.v1"
	ProvenanceType = provenance.MediaType
	SBOMType       = sbom.MediaType
)

// predicateKey is where in-toto's attestation manifests say what kind a statement is.
const predicateKey = "in-toto.io/predicate-type"

// PutProvenance attaches a statement.
func PutProvenance(ctx context.Context, to *attach.Batch, statement []byte) error {
	part := attach.Part{MediaType: provenance.MediaType, Content: statement, Annotations: map[string]string{predicateKey: provenance.PredicateType}}
	if _, err := to.Put(ctx, ProvenanceType, []attach.Part{part}); err != nil {
		return fmt.Errorf("attach the provenance: %w", err)
	}
	return nil
}

// PutSBOM attaches a bill of materials: to is a platform's manifest.
func PutSBOM(ctx context.Context, to *attach.Batch, document []byte) error {
	if _, err := to.Put(ctx, SBOMType, []attach.Part{{MediaType: sbom.MediaType, Content: document}}); err != nil {
		return fmt.Errorf("attach the bill of materials: %w", err)
	}
	return nil
}

// Document is an artifact of one part.
type Document struct {
	Artifact v1.Hash
	Content  []byte
}

// Provenances are the statements attached to an image, the newest last.
func Provenances(ctx context.Context, repo builder.Reader, image v1.Hash) ([]Document, error) {
	return documents(ctx, repo, image, ProvenanceType)
}

// SBOMs are the bills of materials attached to a platform's manifest, the newest last.
func SBOMs(ctx context.Context, repo builder.Reader, manifest v1.Hash) ([]Document, error) {
	return documents(ctx, repo, manifest, SBOMType)
}

// documents are the artifacts of a type. One that has not exactly one part is not ours, and passed over.
func documents(ctx context.Context, repo builder.Reader, subject v1.Hash, kind string) ([]Document, error) {
	list, err := attach.List(ctx, repo, subject, kind)
	if err != nil {
		return nil, err
	}
	var out []Document
	for _, d := range list {
		parts, err := attach.Read(ctx, repo, d.Digest)
		if err != nil {
			return nil, err
		}
		if len(parts) == 1 && parts[0].MediaType == kind {
			out = append(out, Document{d.Digest, parts[0].Content})
		}
	}
	return out, nil
}
