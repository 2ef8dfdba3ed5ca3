// Package evidence keeps what says where an image comes from and what is in it as artifacts beside it: its provenance, a bill
// of materials for each platform, the list of its asset files, and the signed form of these. See docs/contract.md.
package evidence

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/provenance"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

// The types of the artifacts. A provenance's is that of its one part, and so is a bill of materials'.
const (
	FilesType      = "application/vnd.dev.pitcrew.assets-files.v1"
	filesPart      = sbom.MediaType + "+zstd"
	ProvenanceType = provenance.MediaType
	SBOMType       = sbom.MediaType
)

// predicateKey is where in-toto's attestation manifests say what kind a statement is.
const predicateKey = "in-toto.io/predicate-type"

// maxDocument bounds a document that is unpacked.
const maxDocument = 256 << 20

// PutFiles attaches the documents that list an image's asset files; those that a repository named from has are mounted.
func PutFiles(ctx context.Context, to *attach.Batch, documents [][]byte, from ...string) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10))
	if err != nil {
		return err
	}
	var parts []attach.Part
	for _, doc := range documents {
		parts = append(parts, attach.Part{MediaType: filesPart, Content: enc.EncodeAll(doc, nil)})
	}
	if _, err := to.Put(ctx, FilesType, parts, from...); err != nil {
		return fmt.Errorf("attach the list of files: %w", err)
	}
	return nil
}

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

// Files reads the documents that list an image's asset files, unpacked. Without a list the result is nil; with one it is not.
func Files(ctx context.Context, repo builder.Reader, image v1.Hash) ([][]byte, error) {
	list, err := attach.List(ctx, repo, image, FilesType)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return readFiles(ctx, repo, list[len(list)-1].Digest)
}

func readFiles(ctx context.Context, repo builder.Reader, artifact v1.Hash) ([][]byte, error) {
	parts, err := attach.Read(ctx, repo, artifact)
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDocument))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	out := [][]byte{}
	for _, p := range parts {
		doc, err := dec.DecodeAll(p.Content, nil)
		if err != nil {
			return nil, builder.Errorf(builder.Input, "", "unpack the list of files %s: %w", artifact, err)
		}
		out = append(out, doc)
	}
	return out, nil
}
