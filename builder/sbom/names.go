package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/spdx/tools-golang/spdx/v2/common"
)

// identifier is an SPDX element's name, of letters, digits, dots and dashes. Different parts give different ones.
func identifier(parts ...string) common.ElementID {
	joined := strings.Join(parts, "-")
	clean := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && (r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '.'
	}, joined)
	if clean == joined && len(clean) <= 200 {
		return common.ElementID(clean)
	}
	sum := sha256.Sum256([]byte(joined))
	return common.ElementID(clean[:min(len(clean), 120)] + "-" + hex.EncodeToString(sum[:6]))
}

// debURL is the package URL of a Debian package: https://github.com/package-url/purl-spec.
func debURL(system string, d Deb) string {
	vendor, _, _ := strings.Cut(system, "-")
	if vendor == "" {
		vendor = "debian"
	}
	q := url.Values{"arch": {d.Architecture}}
	if system != "" {
		q.Set("distro", system)
	}
	return "pkg:deb/" + escape(vendor) + "/" + escape(d.Name) + "@" + escape(d.Version) + "?" + q.Encode()
}

// goURL is the package URL of a Go module.
func goURL(m Module) string {
	segments := strings.Split(m.Path, "/")
	for i := range segments {
		segments[i] = escape(segments[i])
	}
	out := "pkg:golang/" + strings.Join(segments, "/")
	if m.Version != "" && m.Version != "(devel)" {
		out += "@" + escape(m.Version)
	}
	return out
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// trimGo is the version of Go's own library.
func trimGo(version string) string {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "go"), " ")
	return version
}

// fileName is a path as SPDX wants it: relative, and valid UTF-8. Bytes that are not are written as %XX.
func fileName(path string) string {
	if utf8.ValidString(path) {
		return "./" + path
	}
	var b strings.Builder
	b.WriteString("./")
	for i := 0; i < len(path); {
		r, n := utf8.DecodeRuneInString(path[i:])
		if r == utf8.RuneError && n == 1 {
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{path[i]})))
		} else {
			b.WriteString(path[i : i+n])
		}
		i += n
	}
	return b.String()
}
