package build

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/verify"
)

// Promotion is what [Promote] did: `builder promote --output json`. Sizes are bytes of layers and configs.
type Promotion struct {
	Ref          string `json:"ref"`
	Digest       string `json:"digest"`
	PushedBytes  int64  `json:"pushedBytes"`
	MountedBytes int64  `json:"mountedBytes"`
	ReusedBytes  int64  `json:"reusedBytes"`
	// Attached counts the artifacts that came along.
	Attached int `json:"attached"`
}

// Promote gives an image a place in another repository, as it is: the digests stay. Within one registry no layer is sent:
// blobs are mounted from the repository fromName, if the registry does that. What is attached to the image comes along, and
// the tag is set last. An image that does not verify is an Input error, and nothing is published.
func Promote(ctx context.Context, from builder.Reader, fromName, reference string, to builder.Repository, tag string, o verify.Options) (*Promotion, error) {
	report, err := verify.Image(ctx, from, reference, o)
	if err != nil {
		return nil, err
	}
	if err := report.Err(); err != nil {
		return nil, err
	}
	img, err := inspect.Load(ctx, from, report.Digest)
	if err != nil {
		return nil, err
	}
	p := &promoter{from: from, fromName: fromName, to: to}
	for _, platform := range img.Platforms {
		if err := p.platform(ctx, platform); err != nil {
			return nil, err
		}
	}
	raw, err := p.manifest(ctx, img.Descriptor)
	if err != nil {
		return nil, err
	}
	if err := to.Tag(ctx, tag, img.Descriptor, raw); err != nil {
		return nil, err
	}
	return &Promotion{
		Ref: to.Name() + "@" + report.Digest, Digest: report.Digest, Attached: p.attached,
		PushedBytes: p.sums.pushed, MountedBytes: p.sums.mounted, ReusedBytes: p.sums.reused,
	}, nil
}

type promoter struct {
	from     builder.Reader
	fromName string
	to       builder.Repository
	sums     transfers
	attached int
}

func (p *promoter) platform(ctx context.Context, platform inspect.Platform) error {
	for _, d := range platform.Blobs()[1:] { // without the manifest
		put, err := p.to.PutBlob(ctx, builder.Copied{From: p.from, Desc: bare(d)}, p.fromName)
		if err != nil {
			return fmt.Errorf("put blob %s into %s: %w", d.Digest, p.to.Name(), err)
		}
		p.sums.add(put)
	}
	_, err := p.manifest(ctx, platform.Manifest)
	return err
}

// manifest copies a manifest or index whose parts are there, and what is attached to it.
func (p *promoter) manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	_, raw, err := p.from.Manifest(ctx, d.Digest.String())
	if err != nil {
		return nil, err
	}
	if _, err := p.to.PutManifest(ctx, string(d.MediaType), raw); err != nil {
		return nil, fmt.Errorf("put manifest %s into %s: %w", d.Digest, p.to.Name(), err)
	}
	n, err := attach.Copy(ctx, p.from, p.to, d.Digest)
	p.attached += n
	return raw, err
}
