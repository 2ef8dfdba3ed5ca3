package bucket

import (
	"context"
	"crypto/md5" //nolint:gosec // the store's own checksum, of what came over TLS
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// checksum is what the store has of a whole object.
type checksum struct {
	name string
	hash hash.Hash
	want []byte
}

// verify holds what arrived against the store's checksum, if it keeps one of the whole object.
func (f *fetcher) verify(ctx context.Context, o *object, part string) (err error) {
	sum, err := f.checksum(ctx, o)
	if err != nil || sum == nil {
		return err
	}
	file, err := os.Open(part)
	if err != nil {
		return diskError(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(sum.hash, file); err != nil {
		return diskError(err)
	}
	if got := sum.hash.Sum(nil); string(got) != string(sum.want) {
		return builder.Errorf(builder.Transient, "try again; if it stays, upload the object anew",
			"object %.200q of %s arrived with %s %x, the store has %x", o.key, f.location, sum.name, got, sum.want)
	}
	return nil
}

// checksum asks for it, where that is not done on the way: of objects in S3 that arrive in one piece the SDK does.
func (f *fetcher) checksum(ctx context.Context, o *object) (*checksum, error) {
	if text, ok := strings.CutPrefix(o.content, "md5 "); ok {
		return decoded("MD5", md5.New(), text, hex.DecodeString) //nolint:gosec // see above
	}
	if text, ok := strings.CutPrefix(o.content, "crc32c "); ok {
		text, _, _ = strings.Cut(text, " ")
		return decoded("CRC32C", crc32.New(crc32.MakeTable(crc32.Castagnoli)), text, hex.DecodeString)
	}
	var client *s3.Client
	if !f.bucket.As(&client) || o.size <= rangeSize {
		return nil, nil
	}
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &f.location.Bucket, Key: &o.key, IfMatch: &o.version, ChecksumMode: s3types.ChecksumModeEnabled,
	})
	if err != nil {
		return nil, failed(ctx, f.bucket, err, "ask for the checksum of object "+o.key+" of "+f.location.String())
	}
	return s3Checksum(head)
}

// s3Checksum is that of the whole object; one that is made of the parts' checksums says nothing to us.
func s3Checksum(head *s3.HeadObjectOutput) (*checksum, error) {
	if head.ChecksumType == s3types.ChecksumTypeComposite {
		return nil, nil
	}
	// The polynomial of the NVM Express specification, reflected.
	nvme := crc64.MakeTable(0x9a6c9329ac4bc9b5)
	for _, c := range []struct {
		name string
		text *string
		hash hash.Hash
	}{
		{"SHA256", head.ChecksumSHA256, sha256.New()},
		{"CRC64NVME", head.ChecksumCRC64NVME, crc64.New(nvme)},
		{"CRC32C", head.ChecksumCRC32C, crc32.New(crc32.MakeTable(crc32.Castagnoli))},
		{"CRC32", head.ChecksumCRC32, crc32.NewIEEE()},
	} {
		if c.text != nil {
			return decoded(c.name, c.hash, *c.text, base64.StdEncoding.DecodeString)
		}
	}
	return nil, nil
}

// decoded is nil for what is not well formed: some stores list nothing in the place of a checksum.
func decoded(name string, h hash.Hash, text string, decode func(string) ([]byte, error)) (*checksum, error) {
	want, err := decode(text)
	if err != nil || len(want) != h.Size() {
		return nil, nil //nolint:nilerr // see above
	}
	return &checksum{name, h, want}, nil
}
