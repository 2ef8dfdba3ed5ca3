package apt

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Package is a package of the resolved set.
type Package struct {
	Name, Version string
	// Architecture is Debian's name for it: the platform's, or "all".
	Architecture string
	// URI is where the package is fetched from. It may hold a password.
	URI    string
	Size   int64
	SHA256 v1.Hash
	// Named says that the pipeline names the package, or a virtual package that it was chosen for.
	Named bool
}

// file is the package as errors call it.
func (p Package) file() string {
	return fmt.Sprintf("%s %s (%s) from %s", p.Name, p.Version, p.Architecture, redact(p.URI))
}

var (
	uriLine      = regexp.MustCompile(`^'([^'\s]+)' (\S+)\.deb ([0-9]{1,18}) SHA256:([0-9a-f]{64})$`)
	selectedLine = regexp.MustCompile(`^Note, selecting '([^']+)' instead of '([^']+)'$`)
	archSyntax   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
)

// parseURIs reads what apt-get --print-uris wrote: the packages, and which package was chosen for a virtual one.
func parseURIs(stdout string) (packages []Package, chosen map[string]string, err error) {
	chosen = map[string]string{}
	seen := map[string]bool{}
	for line := range strings.Lines(stdout) {
		line = strings.TrimRight(line, "\n")
		line = line[strings.LastIndexByte(line, '\r')+1:] // behind a progress bar
		if m := selectedLine.FindStringSubmatch(line); m != nil {
			chosen[m[2]] = m[1]
		}
		if !strings.HasPrefix(line, "'") {
			continue
		}
		p, err := parseURI(line)
		if err != nil {
			return nil, nil, err
		}
		if seen[p.Name] {
			return nil, nil, fmt.Errorf("apt-get lists package %s twice", p.Name)
		}
		seen[p.Name] = true
		packages = append(packages, p)
	}
	return packages, chosen, nil
}

// parseURI reads a line such as
// 'http://…/hostname_3.23%2bnmu1_arm64.deb' hostname_3.23+nmu1_arm64.deb 10404 SHA256:….
func parseURI(line string) (Package, error) {
	m := uriLine.FindStringSubmatch(line)
	if m == nil {
		return Package{}, fmt.Errorf("apt-get lists a package without a name, size or SHA256: %.300q", line)
	}
	parts := strings.Split(m[2], "_")
	if len(parts) != 3 {
		return Package{}, fmt.Errorf("apt-get lists a package with the file name %q", m[2])
	}
	version, err := url.PathUnescape(parts[1])
	if err != nil || !nameSyntax.MatchString(parts[0]) || !versionSyntax.MatchString(version) || !archSyntax.MatchString(parts[2]) {
		return Package{}, fmt.Errorf("apt-get lists a package with the file name %q", m[2])
	}
	size, err := strconv.ParseInt(m[3], 10, 64)
	if err != nil {
		return Package{}, fmt.Errorf("apt-get lists %s with size %q", parts[0], m[3])
	}
	return Package{
		Name: parts[0], Version: version, Architecture: parts[2], URI: m[1], Size: size,
		SHA256: v1.Hash{Algorithm: "sha256", Hex: m[4]},
	}, nil
}
