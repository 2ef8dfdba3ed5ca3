package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry/hosts"
)

// maxManifest is larger than what registries accept.
const maxManifest = 8 << 20

var acceptManifests = strings.Join([]string{
	"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
}, ", ")

// Resolve gives what ref means. A tag costs a HEAD request, or a GET if the registry's answer to it has no digest; a
// digest costs none, and its media type and size are not known then.
func (c *Client) Resolve(ctx context.Context, ref string) (warmer.Descriptor, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return warmer.Descriptor{}, err
	}
	if r.Digest != "" {
		return warmer.Descriptor{Digest: r.Digest}, nil
	}
	from, err := c.endpoints(r, func(h hosts.Host) bool { return h.Resolve })
	if err != nil {
		return warmer.Descriptor{}, err
	}
	var d warmer.Descriptor
	err = c.attempts(r, from).do(ctx, func(e *endpoint) (err error) {
		d, err = e.resolve(ctx, r)
		return err
	})
	return d, err
}

func (e *endpoint) resolve(ctx context.Context, r Reference) (warmer.Descriptor, error) {
	resp, err := e.ask(ctx, http.MethodHead, r.Repository, "manifests/"+r.Tag, http.Header{"Accept": {acceptManifests}})
	if err != nil {
		return warmer.Descriptor{}, err
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusMethodNotAllowed {
		return warmer.Descriptor{}, answerError(resp)
	}
	discard(resp) // of a HEAD there is nothing to read
	d := warmer.Descriptor{
		MediaType: mediaType(resp.Header.Get("Content-Type")),
		Digest:    warmer.Digest(resp.Header.Get("Docker-Content-Digest")),
		Size:      max(resp.ContentLength, 0),
	}
	if resp.StatusCode == http.StatusOK && checkDigest(d.Digest) == nil && d.Size <= maxManifest {
		return d, nil
	}
	raw, typ, err := e.manifest(ctx, r, r.Tag)
	if err != nil {
		return warmer.Descriptor{}, err
	}
	return warmer.Descriptor{MediaType: typ, Digest: sha256Of(raw), Size: int64(len(raw))}, nil
}

// Manifest gives a manifest or an index of ref's repository: the bytes that d's digest names, with their media type and
// size. What d says of these besides must be true if it is set. It has at most 8 MiB.
func (c *Client) Manifest(ctx context.Context, ref string, d warmer.Descriptor) ([]byte, warmer.Descriptor, error) {
	r, err := ParseReference(ref)
	if err == nil {
		err = checkDigest(d.Digest)
	}
	if err != nil {
		return nil, warmer.Descriptor{}, err
	}
	from, err := c.endpoints(r, func(h hosts.Host) bool { return h.Pull })
	if err != nil {
		return nil, warmer.Descriptor{}, err
	}
	var raw []byte
	var typ string
	err = c.attempts(r, from).do(ctx, func(e *endpoint) (err error) {
		raw, typ, err = e.manifest(ctx, r, string(d.Digest))
		if err != nil {
			return err
		}
		return checkManifest(raw, d)
	})
	if err != nil {
		return nil, warmer.Descriptor{}, err
	}
	d.Size = int64(len(raw))
	if own := ownMediaType(raw); own != "" {
		d.MediaType = own // the digest vouches for it
	} else if d.MediaType == "" {
		d.MediaType = typ
	}
	return raw, d, nil
}

// checkManifest compares the bytes with their descriptor.
func checkManifest(raw []byte, d warmer.Descriptor) error {
	if got := digestOf(raw, d.Digest); got != d.Digest {
		return contentError("manifest %s has digest %s", d.Digest, got)
	}
	if d.Size > 0 && d.Size != int64(len(raw)) {
		return contentError("manifest %s has %d bytes, want %d", d.Digest, len(raw), d.Size)
	}
	return nil
}

// manifest fetches what a tag or a digest names, unchecked.
func (e *endpoint) manifest(ctx context.Context, r Reference, what string) (raw []byte, typ string, err error) {
	resp, err := e.ask(ctx, http.MethodGet, r.Repository, "manifests/"+what, http.Header{"Accept": {acceptManifests}})
	if err != nil {
		return nil, "", err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", answerError(resp)
	}
	defer resp.Body.Close()
	if resp.ContentLength > maxManifest {
		return nil, "", contentError("manifest %s has %d bytes, more than %d", what, resp.ContentLength, maxManifest)
	}
	raw, err = io.ReadAll(io.LimitReader(&throttled{ctx: ctx, c: e.c, r: resp.Body}, maxManifest+1))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("manifest %s: %w", what, err)
	case len(raw) > maxManifest:
		return nil, "", contentError("manifest %s has more than %d bytes", what, maxManifest)
	}
	return raw, mediaType(resp.Header.Get("Content-Type")), nil
}

// maxMediaType is what the OCI specification's reference to RFC 6838 allows: two names of 127 characters.
const maxMediaType = 255

func mediaType(header string) string {
	typ, _, _ := strings.Cut(header, ";")
	typ = strings.TrimSpace(typ)
	if len(typ) > maxMediaType {
		return ""
	}
	return typ
}

// ownMediaType is what the manifest says of itself.
func ownMediaType(raw []byte) string {
	var m struct {
		MediaType string `json:"mediaType"`
	}
	if json.NewDecoder(bytes.NewReader(raw)).Decode(&m) != nil {
		return ""
	}
	return mediaType(m.MediaType)
}

// throttled reads within the client's bandwidth.
type throttled struct {
	ctx context.Context //nolint:containedctx // a reader has no other way
	c   *Client
	r   io.Reader
}

func (t *throttled) Read(p []byte) (int, error) {
	n, err := t.r.Read(p[:min(len(p), piece)])
	if n > 0 {
		if err := t.c.throttle(t.ctx, n); err != nil {
			return n, err
		}
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}
