package archive

import (
	"net/url"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Materials is the archive, if it has one digest: of local files without one there is none. Its address is given without
// credentials.
func (r *Resolved) Materials() []builder.Material {
	if r.objects != nil && r.options.SHA256 == "" {
		return []builder.Material{{URI: r.options.ObjectsName, Digest: digestOf(r.objects.Contents()...)}}
	}
	if r.options.SHA256 == "" {
		return nil
	}
	m := builder.Material{Name: r.options.name(), Digest: v1.Hash{Algorithm: "sha256", Hex: r.options.SHA256}}
	if u, err := url.Parse(r.options.URL); err == nil && r.options.URL != "" {
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		m.URI = u.String()
	}
	return []builder.Material{m}
}
