package archive

import (
	"bytes"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/decompress"
)

// Format is a kind of archive. Those of tar are "tar", or "tar." and a compression's suffix.
type Format string

// Zip is the format of PKWARE's APPNOTE.
const Zip Format = "zip"

const tarPrefix = "tar"

// Formats are all formats.
func Formats() []Format { return []Format{"tar", "tar.gz", "tar.zst", "tar.xz", "tar.bz2", Zip} }

// tarMagic stands at tarMagicAt in the first header of POSIX's and GNU's tar.
const (
	tarMagic   = "ustar"
	tarMagicAt = 257
	// lead is how many bytes tell the format.
	lead = 512
)

// codec is the compression of a tar archive.
func (f Format) codec() decompress.Codec {
	return decompress.Codec(strings.TrimPrefix(strings.TrimPrefix(string(f), tarPrefix), "."))
}

// detect tells the format by the first bytes. Of what is compressed it supposes that a tar archive is inside.
func detect(first []byte) (Format, error) {
	for _, magic := range []string{"PK\x03\x04", "PK\x05\x06"} {
		if bytes.HasPrefix(first, []byte(magic)) {
			return Zip, nil
		}
	}
	if codec := decompress.Detect(first); codec != decompress.None {
		return Format(tarPrefix + "." + string(codec)), nil
	}
	if len(first) >= lead && bytes.HasPrefix(first[tarMagicAt:], []byte(tarMagic)) {
		return tarPrefix, nil
	}
	if len(first) >= lead && len(bytes.Trim(first, "\x00")) == 0 {
		return tarPrefix, nil // without entries
	}
	if len(first) < lead {
		return "", builder.Errorf(builder.Input, "get or make it anew", "its %d bytes are no archive", len(first))
	}
	return "", builder.Errorf(builder.Input, "tar, tar.gz, tar.zst, tar.xz, tar.bz2 and zip are known; if it is one, say so with format",
		"its first bytes are of no known archive format")
}
