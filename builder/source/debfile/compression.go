package debfile

import (
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that a zstd or xz stream can make us take for its history. Debian and Ubuntu use up to
// 8 MiB, xz -9 uses 64.
const maxWindow = 128 << 20

// decompress reads r, whose member name ended in suffix.
func decompress(r io.Reader, suffix string) (io.ReadCloser, error) {
	switch suffix {
	case "":
		return io.NopCloser(r), nil
	case ".gz":
		return gzip.NewReader(r) //nolint:wrapcheck // the caller names the member
	case ".xz":
		return newXZReader(r), nil
	case ".bz2":
		return io.NopCloser(bzip2.NewReader(r)), nil
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err //nolint:wrapcheck // the caller names the member
		}
		return z.IOReadCloser(), nil
	default:
		return nil, fmt.Errorf("compression %q is not supported", suffix)
	}
}
