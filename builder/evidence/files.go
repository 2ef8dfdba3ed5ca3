package evidence

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

const (
	filesPart   = sbom.MediaType + "+zstd"
	maxDocument = 256 << 20 // bytes of a document that is unpacked
)

// FileList is the list of an image's asset files, as it is attached.
type FileList struct {
	// Digest is the [sbom.FilesDigest] of Documents: a bill of materials names the list by it.
	Digest    v1.Hash
	Documents [][]byte
	parts     []attach.Part
}

// NewFileList lists files.
func NewFileList(files []sbom.File) (*FileList, error) {
	documents, err := sbom.FileDocuments(files)
	if err != nil {
		return nil, err
	}
	return newFileList(documents)
}

func newFileList(documents [][]byte) (*FileList, error) {
	parts, err := attach.Pack(filesPart, documents...)
	return &FileList{sbom.FilesDigest(documents), documents, parts}, err
}

// ReadFileList reads the list beside an image. The error matches [builder.ErrNotFound] if there is none.
func ReadFileList(ctx context.Context, repo builder.Reader, image v1.Hash) (*FileList, error) {
	documents, err := attach.ReadPacked(ctx, repo, image, FilesType, maxDocument)
	if err != nil {
		return nil, fmt.Errorf("the list of files: %w", err)
	}
	return newFileList(documents)
}

// Put attaches the list; what a repository named from has of it is mounted.
func (l *FileList) Put(ctx context.Context, to *attach.Batch, from ...string) error {
	if _, err := to.Put(ctx, FilesType, l.parts, from...); err != nil {
		return fmt.Errorf("attach the list of files: %w", err)
	}
	return nil
}
