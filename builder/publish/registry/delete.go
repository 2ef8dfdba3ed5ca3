package registry

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Bounds on a list of tags.
const (
	tagsPage  = 1000
	maxPages  = 1000
	maxTagDoc = 16 << 20
)

// Tags lists the repository's tags, page by page.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	var all []string
	next := r.url("tags/list?n=%d", tagsPage)
	for range maxPages {
		tags, link, err := r.tagsPage(ctx, next)
		if err != nil {
			return nil, err
		}
		all = append(all, tags...)
		if link == "" || len(tags) == 0 {
			return all, nil
		}
		if next, err = follow(next, link); err != nil {
			return nil, err
		}
	}
	return nil, builder.Errorf(builder.Input, "", "%s has more than %d pages of tags", r.Name(), maxPages)
}

func (r *Repository) tagsPage(ctx context.Context, page string) (tags []string, link string, err error) {
	resp, err := r.do(ctx, http.MethodGet, page, nil, nil, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	var list struct{ Tags []string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxTagDoc)).Decode(&list); err != nil {
		return nil, "", builder.Errorf(builder.Transient, "", "list tags of %s: %w", r.Name(), err)
	}
	target, rel, _ := strings.Cut(resp.Header.Get("Link"), ";")
	if !strings.Contains(rel, `rel="next"`) {
		return list.Tags, "", nil
	}
	return list.Tags, strings.Trim(strings.TrimSpace(target), "<>"), nil
}

// follow resolves the next page's address, which must be on the same host.
func follow(from, link string) (string, error) {
	base, err := url.Parse(from)
	if err != nil {
		return "", err
	}
	next, err := base.Parse(link)
	if err != nil || next.Host != base.Host {
		return "", builder.Errorf(builder.Input, "", "the registry leads from %s to %q", from, link)
	}
	return next.String(), nil
}

// Delete removes a manifest by digest, with its tags, or a tag. What is not there, and a registry that deletes no tags but
// only with their manifests, is no error.
func (r *Repository) Delete(ctx context.Context, reference string) error {
	byDigest := strings.Contains(reference, ":")
	accept := []int{http.StatusAccepted, http.StatusOK, http.StatusNoContent, http.StatusNotFound}
	if !byDigest {
		accept = append(accept, http.StatusBadRequest, http.StatusMethodNotAllowed)
	}
	resp, err := r.do(ctx, http.MethodDelete, r.url("manifests/%s", reference), nil, nil, append(accept, http.StatusMethodNotAllowed)...)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if byDigest && resp.StatusCode == http.StatusMethodNotAllowed {
		hint := "allow deletion in the registry's configuration"
		if isECR(r.repo.RegistryStr()) {
			hint = "use a lifecycle policy or aws ecr batch-delete-image"
		}
		return builder.Errorf(builder.Config, hint, "%s deletes nothing: %s", r.Name(), resp.Status)
	}
	return nil
}
