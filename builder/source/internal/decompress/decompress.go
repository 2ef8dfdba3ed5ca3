// Package decompress reads what hostile and damaged archives are packed in: every codec has bounded memory and checks
// its own checksums.
package decompress

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Codec is a form of compression.
type Codec string

// The codecs.
const (
	None  Codec = ""
	Gzip  Codec = "gz"
	Zstd  Codec = "zst"
	XZ    Codec = "xz"
	Bzip2 Codec = "bz2"
)

// Lead is how many bytes Detect wants to see, of what has so many.
const Lead = 6

// maxWindow bounds the memory that a zstd or xz stream can make us take for its history. Debian and Ubuntu use up to
// 8 MiB, xz -9 uses 64.
const maxWindow = 128 << 20

// Detect tells the codec by a stream's first bytes, as given by each format's specification; what is not known is None.
func Detect(lead []byte) Codec {
	switch {
	case bytes.HasPrefix(lead, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(lead, []byte{0x28, 0xb5, 0x2f, 0xfd}), isSkippable(lead):
		return Zstd
	case bytes.HasPrefix(lead, []byte("\xfd7zXZ\x00")):
		return XZ
	case bytes.HasPrefix(lead, []byte("BZh")):
		return Bzip2
	}
	return None
}

// isSkippable recognises a zstd frame that holds no content, with which a stream may begin.
func isSkippable(lead []byte) bool {
	return len(lead) >= 4 && lead[0]&0xf0 == 0x50 && bytes.Equal(lead[1:4], []byte{0x2a, 0x4d, 0x18})
}

// NewReader reads the content of r. A stream that is cut short ends with an error that matches io.ErrUnexpectedEOF.
// Close releases memory and goroutines, and leaves r open.
func NewReader(codec Codec, r io.Reader) (io.ReadCloser, error) {
	switch codec {
	case None:
		return io.NopCloser(r), nil
	case Gzip:
		z, err := gzip.NewReader(r)
		return z, cutShort(err)
	case XZ:
		return newXZReader(r), nil
	case Bzip2:
		return io.NopCloser(bzip2.NewReader(r)), nil
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err //nolint:wrapcheck // the caller names the stream
		}
		return z.IOReadCloser(), nil
	default:
		return nil, fmt.Errorf("compression %q is not supported", codec)
	}
}

// cutShort is err, where the end of the input is not a proper end.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
