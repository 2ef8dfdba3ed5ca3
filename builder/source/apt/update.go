package apt

import (
	"cmp"
	"context"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// failure is a source that could not be brought up to date.
type failure struct {
	mirror string // the repository's root, as far as apt's message tells it
	reason string // in apt's words
	kind   builder.Kind
}

// update asks the sources what they have now, unless that was done recently. The failures are of single sources: the
// others are up to date.
func (s *state) update(ctx context.Context, options *Options) ([]failure, error) {
	if options.MaxAge > 0 && s.age() < options.MaxAge {
		return nil, nil
	}
	out, err := s.run(ctx, "apt-get", "update")
	if err != nil {
		return nil, err
	}
	failures, other := parseFailures(out.stderr)
	if !out.ok && len(failures) == 0 {
		return nil, builder.Errorf(builder.Input, "correct the apt sources of this machine, or list mirrors in the pipeline file",
			"apt-get update: %s", cmp.Or(strings.Join(other, "; "), "it failed without a word"))
	}
	if len(failures) == 0 {
		return nil, s.updated()
	}
	return failures, nil
}

var (
	messageURI    = regexp.MustCompile(`\b[a-z][a-z0-9+.-]*:/[^\s'"]*`)
	deniedReason  = regexp.MustCompile(`\b40[137]\b|[Uu]nauthorized|[Ff]orbidden`)
	lastingReason = regexp.MustCompile(`\b4(00|04|10)\b|[Nn]ot [Ff]ound|No such file|not signed|does not have a Release file|` +
		`NO_PUBKEY|GPG error|EXPKEYSIG|REVKEYSIG|BADSIG|[Ee]xpired|not valid yet|certificate|does not start with a cleartext signature|` +
		`method driver|[Uu]nsupported`)
)

// parseFailures reads what apt-get update wrote to stderr: failures that name a source, and other errors.
func parseFailures(stderr string) (failures []failure, other []string) {
	for line := range strings.Lines(stderr) {
		level, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
		uri := messageURI.FindString(text)
		switch {
		case level == "E" && uri != "", level == "W" && uri != "" && tellsFailure(text):
			failures = append(failures, newFailure(uri, text))
		case level == "E" && !strings.HasPrefix(text, "Some index files failed"):
			other = append(other, text)
		}
	}
	return failures, other
}

// tellsFailure leaves out warnings about sources that did answer, such as one that lacks the architecture.
func tellsFailure(warning string) bool {
	return strings.HasPrefix(warning, "Failed to fetch") || strings.HasPrefix(warning, "GPG error") ||
		strings.Contains(warning, "rror occurred during the signature verification")
}

func newFailure(uri, text string) failure {
	reason := text
	if i := strings.Index(text, uri); i >= 0 && strings.HasPrefix(text, "Failed to fetch") {
		reason = strings.TrimSpace(text[i+len(uri):])
	}
	f := failure{mirror: repository(uri), reason: strings.ReplaceAll(reason, uri, redact(uri)), kind: builder.Transient}
	switch {
	case deniedReason.MatchString(reason):
		f.kind = builder.Auth
	case lastingReason.MatchString(reason):
		f.kind = builder.Input
	}
	return f
}

// repository is the root of the repository that an index belongs to.
func repository(uri string) string {
	root, _, isIndex := strings.Cut(uri, "/dists/")
	if !isIndex {
		switch path.Base(uri) {
		case "InRelease", "Release", "Release.gpg", "Packages":
			root = strings.TrimSuffix(path.Dir(uri), "/.")
		}
	}
	return root
}

// concerns reports whether a package from uri comes from the source that failed.
func (f failure) concerns(uri string) bool {
	return strings.HasPrefix(uri, strings.TrimSuffix(f.mirror, "/")+"/")
}

// mirrorError is about sources that failed, and cause, if any, about what came of it.
func mirrorError(failures []failure, cause error) error {
	kind := failures[0].kind
	for _, f := range failures {
		if f.kind == builder.Transient {
			kind = builder.Transient // it may work without a change
		}
	}
	hints := map[builder.Kind]string{
		builder.Transient: "try again; if it persists, check the network and proxy settings, or list other mirrors",
		builder.Auth:      "give apt the credentials (apt_auth.conf(5)), or list other mirrors",
		builder.Input: "correct the mirror's URI, suite, components and signedBy; some mirrors serve only some architectures " +
			"(Ubuntu's arm64 packages are at http://ports.ubuntu.com/ubuntu-ports)",
	}
	var lines []string
	for _, f := range failures {
		lines = append(lines, redact(f.mirror)+": "+f.reason)
	}
	slices.Sort(lines)
	text := strings.Join(slices.Compact(lines), "; ")
	if cause != nil {
		return builder.Errorf(kind, hints[kind], "update from mirror %s: then %w", text, cause)
	}
	return builder.Errorf(kind, hints[kind], "update from mirror %s", text)
}

// redact hides a password.
func redact(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return "(a URI that cannot be read)"
	}
	return u.Redacted()
}
