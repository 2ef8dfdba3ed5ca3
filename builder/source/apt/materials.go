package apt

import (
	"net/url"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Materials are all packages, by their package URLs, with the digests of their files.
func (r *Resolved) Materials() []builder.Material {
	out := make([]builder.Material, len(r.packages))
	for i, p := range r.packages {
		out[i] = builder.Material{URI: p.url(), Digest: p.SHA256}
	}
	return out
}

// url is the package URL: https://github.com/package-url/purl-spec.
func (p Package) url() string {
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	return "pkg:deb/debian/" + escape(p.Name) + "@" + escape(p.Version) + "?arch=" + escape(p.Architecture)
}
