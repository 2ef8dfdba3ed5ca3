package apt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	trees "github.com/pitcrew-dev/pitcrew/builder/merge"
)

// SourceOptions are what a pipeline and its caller can say about a Debian source package. Package, CacheDir and Open are required.
type SourceOptions struct {
	// Package is the source package's name, and Version what it must be; empty for the newest.
	Package, Version string
	// Upstream leaves out what Debian adds.
	Upstream bool
	// Mirrors are where it comes from; if there are none, the machine's own apt sources, asked for source code.
	Mirrors []Mirror
	// CacheDir is a folder for apt's state.
	CacheDir string
	// Open makes a source of an archive at a URL, with its digest in hexadecimal, without its top folder.
	Open func(url, sha256 string) builder.Source
}

// SourcePackage is the source code of a Debian package.
type SourcePackage struct{ options SourceOptions }

// NewSourcePackage makes a source of it.
func NewSourcePackage(options SourceOptions) *SourcePackage { return &SourcePackage{options} }

// file is one file of a source package, as apt's signed index lists it.
type file struct {
	url, name, sha256 string
}

// Resolve finds the package's files and their hashes in apt's signed index. It is the same for every platform. The files are
// fetched by [builder.Resolved.Tree]: what the authors published lies at the root, additional components in folders of
// their names, and Debian's part, unless Upstream is set, in debian/. Patches are not applied.
func (s *SourcePackage) Resolve(ctx context.Context, platform v1.Platform) (builder.Resolved, error) {
	files, err := s.files(ctx)
	if err != nil {
		return nil, err
	}
	out := &sourceResolved{}
	for _, f := range files {
		at, ok := place(f.name)
		if !ok || s.options.Upstream && at == "/debian" {
			continue
		}
		resolved, err := s.options.Open(f.url, f.sha256).Resolve(ctx, platform)
		if err != nil {
			return nil, err
		}
		out.parts = append(out.parts, sourcePart{resolved, at, f.name})
	}
	if len(out.parts) == 0 {
		return nil, builder.Errorf(builder.Input, "look at it with apt-get source", "source package %s has no archive", s.options.Package)
	}
	return out, nil
}

var (
	sourceLine = regexp.MustCompile(`^'([^'\s]+)' (\S+) [0-9]{1,18} SHA256:([0-9a-f]{64})$`)
	partName   = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*_[^_/]+\.(debian|orig(-([A-Za-z0-9-]+))?)\.tar\.(gz|xz|bz2|zst)$`)
	nativeName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*_[^_/]+\.tar\.(gz|xz|bz2|zst)$`)
)

// place is where an archive's content, without its own top folder, goes in the tree.
func place(name string) (at string, ok bool) {
	m := partName.FindStringSubmatch(name)
	switch {
	case m == nil: // the description or a signature, or all in one
		return "/", nativeName.MatchString(name)
	case m[1] == "debian":
		return "/debian", true
	case m[3] != "":
		return "/" + m[3], true
	}
	return "/", true
}

func (s *SourcePackage) files(ctx context.Context) ([]file, error) {
	o := &s.options
	if !nameSyntax.MatchString(o.Package) || o.Version != "" && !versionSyntax.MatchString(o.Version) {
		return nil, builder.Errorf(builder.Config, "write a source package's name", "%q, version %q", o.Package, o.Version)
	}
	for i := range o.Mirrors {
		if err := o.Mirrors[i].validate(); err != nil {
			return nil, err
		}
	}
	list, err := sourceList(o.Mirrors)
	if err != nil {
		return nil, err
	}
	state, err := openStateOf(ctx, o.CacheDir, "amd64", list, true)
	if err != nil {
		return nil, err
	}
	defer state.unlock()
	failures, err := state.update(ctx, &Options{})
	if err != nil {
		return nil, err
	}
	if len(failures) > 0 {
		return nil, mirrorError(failures, nil)
	}
	spec := o.Package
	if o.Version != "" {
		spec += "=" + o.Version
	}
	out, err := state.run(ctx, "apt-get", "--option=Acquire::ForceHash=SHA256", "--option=APT::Get::Only-Source=true", "--print-uris", "source", "--", spec)
	if err != nil {
		return nil, err
	}
	if !out.ok {
		return nil, builder.Errorf(builder.Input, "correct the name or version; a source package may be called otherwise than what is built from it",
			"source package %s: %s", spec, shorten(strings.TrimSpace(out.stderr)))
	}
	return parseSource(out.stdout)
}

func parseSource(stdout string) ([]file, error) {
	var files []file
	for line := range strings.Lines(stdout) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "'") {
			continue
		}
		m := sourceLine.FindStringSubmatch(line)
		if m == nil {
			return nil, builder.Errorf(builder.Input, "use a mirror with SHA256 in its indexes", "apt-get lists a file without a name or SHA256: %.300q", line)
		}
		name, err := url.PathUnescape(m[2])
		if err != nil {
			name = m[2]
		}
		files = append(files, file{m[1], name, m[3]})
	}
	return files, nil
}

// sourceList are the mirrors, or the machine's own sources, asked for source code.
func sourceList(mirrors []Mirror) ([]byte, error) {
	if len(mirrors) > 0 {
		return typesLine.ReplaceAll(sources(mirrors), []byte("Types: deb-src")), nil
	}
	names, err := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read apt sources: %w", err)
		}
		out = append(append(out, typesLine.ReplaceAll(raw, []byte("Types: deb-src"))...), "\n\n"...)
	}
	lines, err := oneLine()
	if out = append(out, lines...); len(out) == 0 && err == nil {
		err = builder.Errorf(builder.Input, "list mirrors in the pipeline file", "this machine has no apt sources")
	}
	return out, err
}

var (
	typesLine = regexp.MustCompile(`(?m)^Types:.*$`)
	debLine   = regexp.MustCompile(`^deb\s+(\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)`)
	signedBy  = regexp.MustCompile(`\bsigned-by=(/\S+)`)
)

// oneLine reads sources in the older format, as paragraphs of the newer one.
func oneLine() ([]byte, error) {
	names, err := filepath.Glob("/etc/apt/sources.list.d/*.list")
	if err != nil {
		return nil, err
	}
	var mirrors []Mirror
	for _, name := range append([]string{"/etc/apt/sources.list"}, names...) {
		raw, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt sources: %w", err)
		}
		for line := range strings.Lines(string(raw)) {
			m := debLine.FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				continue
			}
			mirror := Mirror{URI: m[3], Suites: []string{m[4]}, Components: strings.Fields(m[5])}
			if key := signedBy.FindStringSubmatch(m[2]); key != nil {
				mirror.SignedBy = key[1]
			}
			mirrors = append(mirrors, mirror)
		}
	}
	return typesLine.ReplaceAll(sources(mirrors), []byte("Types: deb-src")), nil
}

// sourcePart is one archive of a source package.
type sourcePart struct {
	builder.Resolved
	at, name string
}

// sourceResolved is a source package in a certain version. It is a [builder.Resolved].
type sourceResolved struct{ parts []sourcePart }

func (r *sourceResolved) InputDigest(ctx context.Context) (v1.Hash, error) {
	var lines strings.Builder
	lines.WriteString("apt source 1\n")
	for _, p := range r.parts {
		digest, err := p.Resolved.InputDigest(ctx)
		if err != nil {
			return v1.Hash{}, err
		}
		lines.WriteString(digest.String() + " " + p.at + "\n")
	}
	h, _, err := v1.SHA256(strings.NewReader(lines.String()))
	return h, err
}

func (r *sourceResolved) Tree(ctx context.Context) (builder.Tree, error) {
	var parts []trees.Part
	for _, p := range r.parts {
		tree, err := p.Resolved.Tree(ctx)
		if err != nil {
			hint := ""
			if p.at == "/debian" {
				hint = "if the mirror lacks Debian's part, leave it out with upstream: true"
			}
			return builder.Tree{}, builder.Errorf(builder.KindOf(err), hint, "%s: %w", p.name, err)
		}
		parts = append(parts, trees.Part{Tree: tree, Destination: p.at, Origin: p.name})
	}
	return trees.Build(parts)
}

func (r *sourceResolved) Pending() int64 {
	for _, p := range r.parts {
		if p.Resolved.Pending() != 0 {
			return -1
		}
	}
	return 0
}

func (r *sourceResolved) Pins() []builder.Pin { return nil }

func (r *sourceResolved) Remote() bool { return true }

// Materials are the package's files.
func (r *sourceResolved) Materials() []builder.Material {
	var out []builder.Material
	for _, p := range r.parts {
		if m, ok := p.Resolved.(interface{ Materials() []builder.Material }); ok {
			out = append(out, m.Materials()...)
		}
	}
	return slices.Clip(out)
}
