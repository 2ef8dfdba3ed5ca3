package apt

import (
	"errors"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
	"github.com/pitcrew-dev/pitcrew/internal/fetch"
)

// Dependencies says which packages of the closure go into the tree.
type Dependencies string

// The parts of a closure. The zero value means [All].
const (
	All  Dependencies = "all"  // the named packages and what they depend on
	None Dependencies = "none" // the named packages alone
	Only Dependencies = "only" // what they depend on, without them
)

// Options are what a pipeline and its caller can say about packages. Packages, CacheDir, Store and Fetch are required.
type Options struct {
	// Packages are names, each with "=VERSION" behind it if it must be that version.
	Packages []string
	// Dependencies is the part of the closure that is wanted.
	Dependencies Dependencies
	// Recommends adds recommended packages to the closure.
	Recommends bool
	// Exclude are packages that are taken to be there already: neither they nor what only they depend on is added.
	Exclude []string
	// Mirrors are where packages come from; if there are none, the machine's own apt sources, keys and preferences.
	Mirrors []Mirror
	// UsrMerge moves what packages have in bin, sbin and lib* below usr, and puts links in their places.
	UsrMerge bool

	// CacheDir is a folder for apt's state and for packages being downloaded. Several processes can share it.
	CacheDir string
	// MaxAge is how old an index may be before mirrors are asked again; always, if it is 0.
	MaxAge time.Duration
	// KeepDebs keeps the downloaded packages, though Store holds all they contain.
	KeepDebs bool
	// Store keeps the unpacked packages.
	Store *pack.Store
	// Fetch downloads packages.
	Fetch *fetch.Client
	// Log is told of sources that failed but were not needed; nil discards that.
	Log *slog.Logger
}

// Mirror is a repository of packages, in the words of sources.list(5).
type Mirror struct {
	URI string
	// Suites are such as "bookworm"; one that ends in a slash is a folder without Components.
	Suites     []string
	Components []string
	// SignedBy is the absolute path of a keyring; if it is empty, apt's trusted keys.
	SignedBy string
	// Trusted takes packages without a signature. Use it for a mirror that nobody else can write to or answer for.
	Trusted bool
}

var (
	nameSyntax    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*[a-z0-9+]$`) // no last "-": that would remove a package
	versionSyntax = regexp.MustCompile(`^([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~-]*$`)
	wordSyntax    = regexp.MustCompile(`^[0-9A-Za-z./][0-9A-Za-z._/+~-]*$`)
	uriSyntax     = regexp.MustCompile(`^[a-z][a-z0-9+]*:[!#-Z\^-~]+$`) // printable, without space, quotes, brackets, backslash
	pathSyntax    = regexp.MustCompile(`^/[^\x00-\x1f"]*$`)
)

// validate reports all faults together, as an error of kind Config.
func (o *Options) validate() error {
	var errs []error
	fault := func(hint, format string, args ...any) {
		errs = append(errs, builder.Errorf(builder.Config, hint, "apt source: "+format, args...))
	}
	if len(o.Packages) == 0 {
		fault("list them under packages", "no packages are named")
	}
	for _, p := range o.Packages {
		name, version, pinned := strings.Cut(p, "=")
		if !nameSyntax.MatchString(name) || pinned && !versionSyntax.MatchString(version) {
			fault("write a package's name, or NAME=VERSION; the architecture is the platform's", "%q is no package name", p)
		}
		for _, e := range o.Exclude {
			if e == name {
				fault("remove it from one of the lists", "package %q is both wanted and excluded", e)
			}
		}
	}
	for _, e := range o.Exclude {
		if !nameSyntax.MatchString(e) {
			fault("write a package's name", "excluded %q is no package name", e)
		}
	}
	switch o.Dependencies {
	case "", All, None, Only:
	default:
		fault(`use "all", "none" or "only"`, "dependencies %q are not known", o.Dependencies)
	}
	for _, m := range o.Mirrors {
		errs = append(errs, m.validate())
	}
	if !filepath.IsAbs(o.CacheDir) || !pathSyntax.MatchString(o.CacheDir) {
		fault("use an absolute path without quotes", "cache folder %q cannot be told to apt", o.CacheDir)
	}
	return errors.Join(errs...)
}

func (m *Mirror) validate() error {
	fault := func(hint, format string, args ...any) error {
		return builder.Errorf(builder.Config, hint, "apt source: "+format, args...)
	}
	if !uriSyntax.MatchString(m.URI) {
		return fault(`write it as in sources.list, such as "http://deb.debian.org/debian"`, "mirror %q is no URI", m.URI)
	}
	if len(m.Suites) == 0 {
		return fault(`name at least one, such as "bookworm"`, "mirror %s has no suites", redact(m.URI))
	}
	for _, word := range append(append([]string{}, m.Suites...), m.Components...) {
		if !wordSyntax.MatchString(word) {
			return fault("write suites and components as in sources.list", "mirror %s has the suite or component %q", redact(m.URI), word)
		}
	}
	for _, suite := range m.Suites {
		if strings.HasSuffix(suite, "/") == (len(m.Components) > 0) {
			return fault("a suite that ends in a slash has no components, every other has",
				"mirror %s: suite %q and components do not go together", redact(m.URI), suite)
		}
	}
	if m.SignedBy != "" && !pathSyntax.MatchString(m.SignedBy) {
		return fault("give the absolute path of a keyring", "mirror %s is signed by %q", redact(m.URI), m.SignedBy)
	}
	return nil
}

// sources renders mirrors in the format of sources.list(5), "deb822".
func sources(mirrors []Mirror) []byte {
	var b strings.Builder
	for _, m := range mirrors {
		b.WriteString("Types: deb\nURIs: " + m.URI + "\nSuites: " + strings.Join(m.Suites, " ") + "\n")
		if len(m.Components) > 0 {
			b.WriteString("Components: " + strings.Join(m.Components, " ") + "\n")
		}
		if m.SignedBy != "" {
			b.WriteString("Signed-By: " + m.SignedBy + "\n")
		}
		if m.Trusted {
			b.WriteString("Trusted: yes\n")
		}
		b.WriteString("\n")
	}
	return []byte(b.String())
}
