package bucket

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// maxObjects bounds a listing.
const maxObjects = 2_000_000

// object is one object in the state that it was listed in.
type object struct {
	key  string
	size int64
	// version is what a read asks for: an ETag, or a generation; empty if the store knows no such thing.
	version string
	// content identifies the bytes: a checksum, or, if the store lists none, the version of this very object.
	content string
}

// list returns the objects whose keys begin with prefix, in the order of their keys.
func list(ctx context.Context, b *blob.Bucket, l Location, prefix string) ([]object, error) {
	var out []object
	it := b.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := it.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, failed(ctx, b, err, "list "+l.String())
		case len(out) == maxObjects:
			return nil, builder.Errorf(builder.Input, "name a longer prefix", "%s has more than %d objects", l, maxObjects)
		}
		out = append(out, objectOf(o, l))
	}
}

// objectOf pins an object, in the terms of its store.
func objectOf(o *blob.ListObject, l Location) object {
	out := object{key: o.Key, size: o.Size}
	var s3Object s3types.Object
	var gcs storage.ObjectAttrs
	var azure container.BlobItem
	switch {
	case o.As(&s3Object):
		// An ETag is the MD5 of the content, or of its parts' MD5s; for encrypted objects it stands for one upload.
		out.version = deref(s3Object.ETag)
		out.content = "etag " + out.version
	case o.As(&gcs):
		out.version = strconv.FormatInt(gcs.Generation, 10)
		out.content = fmt.Sprintf("crc32c %08x md5 %x", gcs.CRC32C, gcs.MD5)
	case o.As(&azure) && azure.Properties != nil:
		if azure.Properties.ETag != nil {
			out.version = string(*azure.Properties.ETag)
		}
		out.content = l.store() + " etag " + out.version
		if len(o.MD5) > 0 {
			out.content = "md5 " + hex.EncodeToString(o.MD5)
		}
	default:
		out.content = fmt.Sprintf("%s %s %d", l.store(), o.Key, o.ModTime.UnixNano())
	}
	return out
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// pinned makes a read fail if the object is another one by now.
func (o *object) pinned(as func(any) bool) error {
	var in *s3.GetObjectInput
	var gcs **storage.ObjectHandle
	var azure *azblob.DownloadStreamOptions
	switch {
	case o.version == "":
	case as(&in):
		in.IfMatch = &o.version
	case as(&gcs):
		generation, err := strconv.ParseInt(o.version, 10, 64)
		if err != nil {
			return fmt.Errorf("generation of %q: %w", o.key, err)
		}
		*gcs = (*gcs).Generation(generation)
	case as(&azure):
		azure.AccessConditions = &azblob.AccessConditions{ModifiedAccessConditions: &azblob.ModifiedAccessConditions{IfMatch: (*azcore.ETag)(&o.version)}}
	}
	return nil
}

// isStill holds what a store answered against what was listed: not every store looks at a condition.
func (o *object) isStill(r *blob.Reader, size int64) error {
	var out s3.GetObjectOutput
	if r.As(&out) && out.ETag != nil && strings.Trim(*out.ETag, `"`) != strings.Trim(o.version, `"`) || size != o.size {
		return builder.ErrChanged
	}
	return nil
}
