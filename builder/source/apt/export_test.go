package apt

// ParseURIs and ParseFailures read apt-get's output.
var (
	ParseURIs     = parseURIs
	ParseFailures = parseFailures
)

// Facts are the failure's mirror, reason and kind.
func (f failure) Facts() (string, string, int) { return f.mirror, f.reason, int(f.kind) }

// Concerns reports whether a package comes from the source that failed.
func (f failure) Concerns(uri string) bool { return f.concerns(uri) }
