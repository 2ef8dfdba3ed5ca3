package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// maxManifest is what registries accept.
const maxManifest = 4 << 20

var acceptManifests = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1),
	string(types.DockerManifestList), string(types.DockerManifestSchema2),
}, ", ")

// do makes one request, repeating it while that can help, and accepts only the given answers.
func (r *Repository) do(ctx context.Context, method, url string, header http.Header, body []byte, accept ...int) (*http.Response, error) {
	client, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	return r.doWith(ctx, client, method, url, header, body, accept...)
}

func (r *Repository) doWith(ctx context.Context, client *http.Client, method, url string, header http.Header, body []byte, accept ...int) (resp *http.Response, err error) {
	what := method + " " + url
	err = r.client.retry(ctx, r.Name(), func() error {
		req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		maps.Copy(req.Header, header)
		resp, err = client.Do(req) //nolint:bodyclose // an accepted answer's body is the caller's to close
		if err != nil {
			return r.transportError(err)
		}
		if slices.Contains(accept, resp.StatusCode) {
			return nil
		}
		defer resp.Body.Close()
		return r.statusError(what, resp)
	})
	return resp, err
}

// Head implements [builder.Reader].
func (r *Repository) Head(ctx context.Context, reference string) (v1.Descriptor, error) {
	resp, err := r.do(ctx, http.MethodHead, r.url("manifests/%s", reference), http.Header{"Accept": {acceptManifests}}, nil, http.StatusOK)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer resp.Body.Close()
	digest, err := v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
	if err != nil { // allowed by the spec: ask for the body
		d, _, err := r.Manifest(ctx, reference)
		return d, err
	}
	return v1.Descriptor{MediaType: types.MediaType(resp.Header.Get("Content-Type")), Digest: digest, Size: resp.ContentLength}, nil
}

// Manifest implements [builder.Reader].
func (r *Repository) Manifest(ctx context.Context, reference string) (v1.Descriptor, []byte, error) {
	resp, err := r.do(ctx, http.MethodGet, r.url("manifests/%s", reference), http.Header{"Accept": {acceptManifests}}, nil, http.StatusOK)
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return v1.Descriptor{}, nil, builder.Errorf(builder.Transient, "", "read manifest %s of %s: %w", reference, r.Name(), err)
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return v1.Descriptor{}, nil, err
	}
	if want, err := v1.NewHash(reference); err == nil && want != digest || size > maxManifest {
		return v1.Descriptor{}, nil, builder.Errorf(builder.Input, "the registry is damaged or lies", "manifest %s of %s has digest %s", reference, r.Name(), digest)
	}
	return v1.Descriptor{MediaType: types.MediaType(resp.Header.Get("Content-Type")), Digest: digest, Size: size}, raw, nil
}

// HasBlob implements [builder.Reader].
func (r *Repository) HasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	if r.knownPresent(d.Digest) {
		return true, nil
	}
	resp, err := r.do(ctx, http.MethodHead, r.url("blobs/%s", d.Digest), nil, nil, http.StatusOK)
	if errors.Is(err, builder.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.ContentLength >= 0 && resp.ContentLength != d.Size {
		return false, nil
	}
	r.setPresent(d.Digest)
	return true, nil
}

// OpenBlob implements [builder.Reader].
func (r *Repository) OpenBlob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	resp, err := r.do(ctx, http.MethodGet, r.url("blobs/%s", d.Digest), nil, nil, http.StatusOK) //nolint:bodyclose // closed with the reader
	if err != nil {
		return nil, err
	}
	return builder.Verify(resp.Body, d, r.Name()), nil
}
