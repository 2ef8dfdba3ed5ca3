package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// failed says whose fault it is that something could not be done, and the way out.
func failed(ctx context.Context, b *blob.Bucket, err error, what string) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err() //nolint:wrapcheck // the caller's own
	case builder.KindOf(err) != builder.Internal:
		return fmt.Errorf("%s: %w", what, err)
	}
	switch status := statusOf(b, err); {
	case errors.Is(err, builder.ErrChanged), status == http.StatusPreconditionFailed, gcerrors.Code(err) == gcerrors.FailedPrecondition:
		return builder.Errorf(builder.Input, "let nobody write to the store while it is read, and build again", "%s: %w", what, builder.ErrChanged)
	case gcerrors.Code(err) == gcerrors.NotFound, status == http.StatusNotFound:
		return builder.Errorf(builder.Input, "check the location: "+locationHint, "%s: %w: %w", what, builder.ErrNotFound, bare(err))
	case gcerrors.Code(err) == gcerrors.PermissionDenied, status == http.StatusUnauthorized, status == http.StatusForbidden, credentials(err):
		return builder.Errorf(builder.Auth, "set the credentials that the provider's own tools use, or anonymous=true in the location", "%s: %w", what, bare(err))
	case gcerrors.Code(err) == gcerrors.InvalidArgument, status == http.StatusBadRequest, status == http.StatusMovedPermanently:
		return builder.Errorf(builder.Input, "check the location and its region", "%s: %w", what, bare(err))
	}
	return builder.Errorf(builder.Transient, "try again", "%s: %w", what, bare(err))
}

// credentials reports whether an SDK found none.
func credentials(err error) bool {
	text := err.Error()
	return strings.Contains(text, "get identity") || strings.Contains(text, "get credentials") || strings.Contains(text, "DefaultAzureCredential")
}

// statusOf is the HTTP status behind an error, or 0.
func statusOf(b *blob.Bucket, err error) int {
	var s3 *awshttp.ResponseError
	if b.ErrorAs(err, &s3) && s3.Response != nil {
		return s3.HTTPStatusCode()
	}
	if g, ok := errors.AsType[*googleapi.Error](err); ok {
		return g.Code
	}
	if a, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return a.StatusCode
	}
	return 0
}

// bare is the part of an error that means something to users: SDKs pack it into their own stories.
func bare(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return err
}

// passing reports whether the same read may succeed another time.
func passing(ctx context.Context, b *blob.Bucket, err error) bool {
	if ctx.Err() != nil || errors.Is(err, builder.ErrChanged) {
		return false
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	switch builder.KindOf(failed(ctx, b, err, "")) {
	case builder.Transient:
		return true
	default:
		return false
	}
}
