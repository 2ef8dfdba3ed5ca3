package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// standin is a registry client until the real one is here.
type standin struct{ plainHTTP bool }

func (s standin) parse(ref string) (name.Reference, error) {
	if s.plainHTTP {
		return name.ParseReference(ref, name.Insecure)
	}
	return name.ParseReference(ref)
}

// Resolve asks for a tag.
func (s standin) Resolve(ctx context.Context, ref string) (warmer.Descriptor, error) {
	r, err := s.parse(ref)
	if err != nil {
		return warmer.Descriptor{}, err
	}
	if d, ok := r.(name.Digest); ok {
		return warmer.Descriptor{Digest: warmer.Digest(d.DigestStr())}, nil
	}
	d, err := remote.Head(r, remote.WithContext(ctx))
	if err != nil {
		return warmer.Descriptor{}, &warmer.RegistryError{Ref: ref, Err: err}
	}
	return warmer.Descriptor{MediaType: string(d.MediaType), Digest: warmer.Digest(d.Digest.String()), Size: d.Size}, nil
}

// Manifest reads an index or manifest.
func (s standin) Manifest(ctx context.Context, ref string, d warmer.Descriptor) ([]byte, warmer.Descriptor, error) {
	r, err := s.parse(ref)
	if err != nil {
		return nil, d, err
	}
	got, err := remote.Get(r.Context().Digest(string(d.Digest)), remote.WithContext(ctx))
	if err != nil {
		return nil, d, &warmer.RegistryError{Ref: ref, Err: err}
	}
	d.MediaType, d.Size = string(got.MediaType), got.Size
	return got.Manifest, d, nil
}

// Blob reads a blob from offset on.
func (s standin) Blob(ctx context.Context, ref string, d warmer.Descriptor, offset int64) (io.ReadCloser, error) {
	r, err := s.parse(ref)
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("%s://%s/v2/%s/blobs/%s", r.Context().Scheme(), r.Context().RegistryStr(), r.Context().RepositoryStr(), d.Digest)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, &warmer.RegistryError{Ref: ref, Err: err}
	}
	if resp.StatusCode != http.StatusPartialContent && (resp.StatusCode != http.StatusOK || offset > 0) {
		resp.Body.Close()
		return nil, &warmer.RegistryError{Ref: ref, Status: resp.StatusCode}
	}
	return resp.Body, nil
}
