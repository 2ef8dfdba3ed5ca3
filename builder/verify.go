package builder

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// verified is what [Verify] returns.
type verified struct {
	io.ReadCloser
	sum  hash.Hash
	left int64
	want v1.Descriptor
	name string
}

// Verify passes a blob on and makes its reader fail with an Input error, at its end or past its stated size, if the bytes are not those
// of want. name is where they come from.
func Verify(body io.ReadCloser, want v1.Descriptor, name string) io.ReadCloser {
	return &verified{ReadCloser: body, sum: sha256.New(), left: want.Size, want: want, name: name}
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.sum.Write(p[:n])
	v.left -= int64(n)
	if v.left < 0 || err == io.EOF && (v.left > 0 || hex.EncodeToString(v.sum.Sum(nil)) != v.want.Digest.Hex) {
		return n, Errorf(Input, "the blob is truncated or damaged: push the image again",
			"blob %s of %s does not have the bytes its digest says", v.want.Digest, v.name)
	}
	return n, err
}
