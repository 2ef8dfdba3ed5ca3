package pipeline

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// A syntax is what a value must look like, and how to say so.
type syntax struct {
	pattern *regexp.Regexp
	hint    string
}

func newSyntax(pattern, hint string) syntax {
	return syntax{regexp.MustCompile("^(" + pattern + ")$"), hint}
}

var (
	apiVersionSyntax = newSyntax(regexp.QuoteMeta(APIVersion), "write apiVersion: "+APIVersion)
	kindSyntax       = newSyntax(Kind, "write kind: "+Kind)
	nameSyntax       = newSyntax(`[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`, "a lower case word with dashes, at most 63 letters")
	platformSyntax   = newSyntax(`linux/(amd64|arm64)`, "use linux/amd64 or linux/arm64")
	// Repository paths and tags are as in the OCI distribution spec.
	repositorySyntax = newSyntax(`[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*`,
		"lower case words joined by / . _ or -, without registry and tag")
	tagSyntax     = newSyntax(`[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`, "letters, digits, _ . -, at most 128")
	codecSyntax   = newSyntax(`auto|none|gzip(:[1-9])?|zstd(:([1-9]|1[01]))?`, "use auto, none, gzip[:1-9] or zstd[:1-11]")
	ownerSyntax   = newSyntax(`[0-9]{1,9}:[0-9]{1,9}`, "numeric, for example 0:0")
	userSyntax    = newSyntax(`[0-9]{1,9}:[0-9]{1,9}`, "numeric, for example 65532:65532: a name means nothing without the image's passwd")
	modeSyntax    = newSyntax(`0?[0-7]{3,4}`, `octal in quotes, for example "0755"`)
	signalSyntax  = newSyntax(`SIG[A-Z0-9+-]+|[1-9][0-9]?`, "for example SIGTERM")
	sha256Syntax  = newSyntax(`[0-9a-f]{64}`, "64 lower case hexadecimal digits, without sha256:")
	formatSyntax  = newSyntax(`tar|tar\.gz|tar\.zst|tar\.xz|tar\.bz2|zip`, "use tar, tar.gz, tar.zst, tar.xz, tar.bz2 or zip")
	packageSyntax = newSyntax(`[a-z0-9][a-z0-9+.-]*[a-z0-9+](=([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~-]*)?`,
		"a Debian package's name, or NAME=VERSION; the architecture is the platform's")
	excludedSyntax     = newSyntax(`[a-z0-9][a-z0-9+.-]*[a-z0-9+]`, "a Debian package's name, without version")
	versionSyntax      = newSyntax(`([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~-]*`, "a Debian version, for example 1.4+dfsg-2")
	buildkitSyntax     = newSyntax(`unix:///[!-~]+|tcp://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}`, "unix:///PATH or tcp://HOST:PORT")
	timeoutSyntax      = newSyntax(`[1-9][0-9]{0,5}[smh]`, "for example 90s, 30m or 2h")
	dependenciesSyntax = newSyntax(`all|none|only`, "use all, none or only")
	uriSyntax          = newSyntax(`[a-z][a-z0-9+]*:[!#-Z^-~]+`, "for example http://deb.debian.org/debian")
	suiteSyntax        = newSyntax(`[0-9A-Za-z./][0-9A-Za-z._/+~-]*`, "as in sources.list, for example bookworm")
	// Plain http is for tests and mirrors on this machine. Credentials have no place in a file that is shared.
	urlSyntax = newSyntax(`(https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])|http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\]))(:[0-9]{1,5})?/([!"$&-~]|%[0-9A-Fa-f]{2})+`,
		"https://HOST/PATH without user, password and fragment; http only from this machine")
)

// Repositories are named as git itself takes them; what could be taken for an option is not.
var (
	gitSyntax = newSyntax(`(https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])|http://(localhost|127(\.[0-9]{1,3}){3}|\[::1\])|ssh://([A-Za-z0-9_.-]+@)?[A-Za-z0-9.-]+)(:[0-9]{1,5})?/[!"$->@-~]+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[!"$->@-~]+`,
		"https://HOST/PATH without user and password, ssh://USER@HOST/PATH or USER@HOST:PATH; http only from this machine")
	refSyntax = newSyntax(`[A-Za-z0-9_][A-Za-z0-9_./+-]{0,254}`, "a branch, a tag or a commit's 40 hexadecimal digits")
)

// match notes a value that is missing or does not look as it must.
func (c *checker) match(at, value string, s syntax) {
	switch {
	case value == "" && !c.written(at):
		c.lacks(at, s.hint, "is missing")
	case value == "":
		c.fault(at, s.hint, "is empty")
	case !s.pattern.MatchString(value):
		c.fault(at, s.hint, "%s is not valid", quote(value))
	}
}

// optional is match for what may be left out.
func (c *checker) optional(at, value string, s syntax) {
	if c.written(at) {
		c.match(at, value, s)
	}
}

// each matches every value of a list, and holds that none is there twice.
func (c *checker) each(at string, values []string, s syntax) {
	seen := map[string]bool{}
	for i, v := range values {
		c.match(item(at, i), v, s)
		if seen[v] {
			c.fault(item(at, i), "remove one of them", "%s is there twice", quote(v))
		}
		seen[v] = true
	}
}

// within notes a number that is written and out of range.
func (c *checker) within(at string, n, least, most int) {
	if c.written(at) && (n < least || n > most) {
		c.fault(at, "use "+strconv.Itoa(least)+" to "+strconv.Itoa(most), "%d is out of range", n)
	}
}

func (c *checker) globs(at string, globs []string) {
	for i, g := range globs {
		if g == "" || strings.HasPrefix(g, "/") || !doublestar.ValidatePattern(g) {
			c.fault(item(at, i), "globs are relative: **/*.png, tracks/**", "%s is not a valid glob", quote(g))
		}
	}
}

// absolute holds that a path of the image is absolute and clean.
func (c *checker) absolute(at, p, example string) {
	if !path.IsAbs(p) || path.Clean(p) != p {
		c.fault(at, "for example "+example, "%s is not a clean absolute path", quote(p))
	}
}

func (c *checker) port(at, port string) {
	number, protocol, hasProtocol := strings.Cut(port, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	known := !hasProtocol || slices.Contains([]string{"tcp", "udp", "sctp"}, protocol)
	if err != nil || n == 0 || number != strconv.FormatUint(n, 10) || !known {
		c.fault(at, "1 to 65535, for example 2759/udp", "%s is not a port", quote(port))
	}
}
