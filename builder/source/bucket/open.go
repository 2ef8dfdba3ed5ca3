package bucket

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcp"
	"golang.org/x/oauth2/google"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Waits between attempts to get what may be had later.
const (
	attempts  = 6
	firstWait = 500 * time.Millisecond
	mostWait  = 20 * time.Second
)

// open opens the bucket of a location.
func (o *Options) open(ctx context.Context, l Location) (*blob.Bucket, error) {
	var b *blob.Bucket
	var err error
	switch l.Scheme {
	case "s3":
		b, err = o.openS3(ctx, l)
	case "gs":
		b, err = openGCS(ctx, l)
	case "azblob":
		b, err = openAzure(ctx, l)
	default:
		b, err = fileblob.OpenBucket(filepath.Dir(l.Path), &fileblob.Options{Metadata: fileblob.MetadataDontWrite})
	}
	if err != nil {
		return nil, builder.Errorf(builder.Input, "check the location, and the credentials in the environment", "open %s: %w", l, err)
	}
	return b, nil
}

func (o *Options) openS3(ctx context.Context, l Location) (*blob.Bucket, error) {
	var load []func(*config.LoadOptions) error
	if profile := l.Options.Get("profile"); profile != "" {
		load = append(load, config.WithSharedConfigProfile(profile))
	}
	if l.Options.Get("anonymous") == "true" {
		load = append(load, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, err
	}
	endpoint := l.Options.Get("endpoint")
	switch region := l.Options.Get("region"); {
	case region != "":
		cfg.Region = region
	case cfg.Region == "" && endpoint != "":
		cfg.Region = "us-east-1" // which stores of other makers do not look at
	}
	client := s3.NewFromConfig(cfg, func(s *s3.Options) {
		if endpoint != "" {
			s.BaseEndpoint = &endpoint
			s.UsePathStyle = l.Options.Get("path_style") != "false"
		} else {
			s.UsePathStyle = l.Options.Get("path_style") == "true"
		}
		s.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.RateLimiter = attempts, ratelimit.None
			r.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) { return o.wait(attempt), nil })
		})
	})
	return s3blob.OpenBucket(ctx, client, l.Bucket, nil)
}

func openGCS(ctx context.Context, l Location) (*blob.Bucket, error) {
	if l.Options.Get("anonymous") == "true" {
		return gcsblob.OpenBucket(ctx, gcp.NewAnonymousHTTPClient(http.DefaultTransport), l.Bucket, nil)
	}
	creds, err := google.FindDefaultCredentials(ctx, "https://www.googleapis.com/auth/devstorage.read_only")
	if err != nil {
		return nil, err
	}
	client, err := gcp.NewHTTPClient(http.DefaultTransport, creds.TokenSource)
	if err != nil {
		return nil, err
	}
	return gcsblob.OpenBucket(ctx, client, l.Bucket, nil)
}

// openAzure takes account and credentials from the environment, as Azure's own tools do.
func openAzure(ctx context.Context, l Location) (*blob.Bucket, error) {
	o := azureblob.NewDefaultServiceURLOptions()
	if account := l.Options.Get("storage_account"); account != "" {
		o.AccountName = account
	}
	if endpoint, err := url.Parse(l.Options.Get("endpoint")); err == nil && endpoint.Host != "" {
		o.StorageDomain, o.Protocol, o.IsLocalEmulator = endpoint.Host, endpoint.Scheme, loopback(endpoint.Hostname())
	}
	service, err := azureblob.NewServiceURL(o)
	if err != nil {
		return nil, err
	}
	client, err := azureblob.NewDefaultClient(service, azureblob.ContainerName(l.Bucket))
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", l.Bucket, err)
	}
	return azureblob.OpenBucket(ctx, client, nil)
}
