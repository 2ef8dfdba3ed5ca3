package registry

import (
	"context"
	"io"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Referrers asks the registry which manifests refer to a manifest (OCI distribution spec, "Listing Referrers"). ok is false
// if the registry does not know the request: the list is then kept under a tag.
func (r *Repository) Referrers(ctx context.Context, subject v1.Hash) (raw []byte, ok bool, err error) {
	resp, err := r.do(ctx, http.MethodGet, r.url("referrers/%s", subject), http.Header{"Accept": {string(types.OCIImageIndex)}}, nil,
		http.StatusOK, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), string(types.OCIImageIndex)) {
		return nil, false, nil
	}
	raw, err = io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil || len(raw) > maxManifest {
		return nil, false, builder.Errorf(builder.Transient, "", "read what refers to %s in %s: %d bytes, %w", subject, r.Name(), len(raw), err)
	}
	return raw, true, nil
}
