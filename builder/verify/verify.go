package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/sign"
)

// Report is the outcome: `builder verify --output json`. Sizes are bytes.
type Report struct {
	Digest string `json:"digest"`
	// Contract is the version that the image claims to follow; empty for an image that is not ours: only digests
	// and diff IDs are checked then.
	Contract string `json:"contract"`
	Layers   int    `json:"layers"`
	Bytes    int64  `json:"bytes"`
	// Attached is what is beside the image and was compared with it.
	Attached Attached `json:"attached"`
	// Faults are what is wrong, one sentence each.
	Faults []string `json:"faults"`
}

// Err is nil if nothing is wrong, and else an Input error that lists the faults.
func (r *Report) Err() error {
	if len(r.Faults) == 0 {
		return nil
	}
	return builder.Errorf(builder.Input, "build the image again, and find out who changed it", "%s:\n%s", r.Digest, strings.Join(r.Faults, "\n"))
}

// maxFaults bounds a report.
const maxFaults = 50

// Options are what a check takes besides the image.
type Options struct {
	// Jobs bounds how many layers are read at the same time.
	Jobs int
	// Key must have signed the image's provenance and bills of materials; nil: signatures are not checked, but what they sign.
	Key *sign.PublicKey
}

// Image checks the image that reference names, and what is attached to it. The error is about not being able to check; what is wrong with the image
// is in the report.
func Image(ctx context.Context, repo builder.Reader, reference string, o Options) (*Report, error) {
	img, err := inspect.Load(ctx, repo, reference)
	if err != nil {
		return nil, err
	}
	c := &checker{repo: repo, contents: map[v1.Hash]*contents{}, report: &Report{
		Digest: img.Descriptor.Digest.String(), Contract: img.Annotations[builder.AnnotationContract], Faults: []string{},
	}}
	if c.report.Contract != "" && len(img.Platforms) > 0 {
		c.epoch = img.Platforms[0].ConfigFile.Created.Time
		c.contract(img)
	}
	if c.attached, err = load(ctx, repo, img); err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, o.Jobs))
	for _, l := range distinct(img) {
		c.report.Layers++
		c.report.Bytes += l.Descriptor.Size
		g.Go(func() error { return c.layer(gctx, l) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, p := range img.Platforms {
		c.deltas(p)
	}
	c.evidence(img)
	c.signatures(ctx, img, o.Key)
	slices.Sort(c.report.Faults)
	c.report.Faults = c.report.Faults[:min(len(c.report.Faults), maxFaults)]
	return c.report, nil
}

func distinct(img *inspect.Image) []inspect.Layer {
	var out []inspect.Layer
	seen := map[[2]v1.Hash]bool{}
	for _, p := range img.Platforms {
		for _, l := range p.Layers {
			if key := [2]v1.Hash{l.Descriptor.Digest, l.DiffID}; !seen[key] {
				seen[key] = true
				out = append(out, l)
			}
		}
	}
	return out
}

type checker struct {
	repo   builder.Reader
	epoch  time.Time // that entries must have, but see epochOf
	mu     sync.Mutex
	report *Report
	// contents are what is remembered of layers, by digest.
	contents map[v1.Hash]*contents
	attached *attached
}

func (c *checker) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Faults = append(c.report.Faults, fmt.Sprintf(format, args...))
}

// layer reads one layer once: compressed digest and size, diff ID, and the tar stream's form.
func (c *checker) layer(ctx context.Context, l inspect.Layer) error {
	body, err := c.repo.OpenBlob(ctx, l.Descriptor)
	if err != nil {
		if ctx.Err() != nil || builder.KindOf(err) == builder.Auth || builder.KindOf(err) == builder.Transient {
			return err
		}
		c.fault("layer %s: %v", l.Descriptor.Digest, err)
		return nil
	}
	defer body.Close()
	if err := c.content(ctx, body, l); err != nil {
		if ctx.Err() != nil || builder.KindOf(err) == builder.Transient {
			return err
		}
		c.fault("layer %s: %v", l.Descriptor.Digest, err)
	}
	return nil
}

func (c *checker) content(ctx context.Context, body io.Reader, l inspect.Layer) error {
	plain, err := layer.Decode(l.Descriptor.MediaType, body)
	if err != nil {
		return err
	}
	defer plain.Close()
	sum := sha256.New()
	stream := io.TeeReader(&stopping{ctx, plain}, sum)
	if c.report.Contract != "" {
		if err := layer.Check(stream, c.epochOf(l), l.Delta(), func(s string) { c.fault("layer %s: %s", l.Descriptor.Digest, s) }, c.visitor(l)); err != nil {
			return err
		}
	}
	for _, rest := range []io.Reader{stream, body} { // what lies behind the tar's end counts for the digests too
		if _, err := io.Copy(io.Discard, rest); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != l.DiffID.Hex {
		c.fault("layer %s: its diff ID is sha256:%s, the config says %s", l.Descriptor.Digest, got, l.DiffID)
	}
	return nil
}

// stopping ends a long read when the context does.
type stopping struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to stop
	io.Reader
}

func (s *stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Reader.Read(p)
}
