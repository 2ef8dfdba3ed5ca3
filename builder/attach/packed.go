package attach

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Pack makes parts of contents, each compressed with zstd by itself, so that equal contents are equal parts. Speed counts
// for more than size: what is attached is mostly digests.
func Pack(mediaType string, contents ...[]byte) ([]Part, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, err
	}
	parts := make([]Part, len(contents))
	for i, c := range contents {
		parts[i] = Part{MediaType: mediaType, Content: enc.EncodeAll(c, nil)}
	}
	return parts, nil
}

// ReadPacked returns the contents of the newest artifact of a type beside an image, whose parts [Pack] made. Each has at most
// max bytes. The error matches [builder.ErrNotFound] if there is no such artifact, and is of kind Input if it is damaged.
func ReadPacked(ctx context.Context, repo builder.Reader, image v1.Hash, artifactType string, max uint64) ([][]byte, error) {
	list, err := List(ctx, repo, image, artifactType)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s beside %s: %w", artifactType, image, builder.ErrNotFound)
	}
	parts, err := Read(ctx, repo, list[len(list)-1].Digest)
	if errors.Is(err, builder.ErrNotFound) { // it is listed: who looks for this error must not take it for one that is not there
		return nil, builder.Errorf(builder.Input, "build the image again", "%s beside %s lacks a part: %s", artifactType, image, err)
	}
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(max))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	contents := make([][]byte, len(parts))
	for i, p := range parts {
		if contents[i], err = dec.DecodeAll(p.Content, nil); err != nil {
			return nil, builder.Errorf(builder.Input, "build the image again", "unpack part %d of %s beside %s: %w", i, artifactType, image, err)
		}
	}
	return contents, nil
}
