package bucket

import (
	"net/url"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Location is a place in a store.
type Location struct {
	// Scheme is s3, gs, azblob or file.
	Scheme string
	// Bucket is the bucket's or container's name, and empty for file.
	Bucket string
	// Path is a prefix, a key or a glob of keys; for file it is a path of this machine.
	Path string
	// Options are such as endpoint and region.
	Options url.Values
}

// options are what a location may say about how to reach its store.
var options = map[string][]string{
	"s3":     {"endpoint", "region", "profile", "anonymous", "path_style"},
	"gs":     {"anonymous"},
	"azblob": {"endpoint", "storage_account"},
	"file":   {},
}

const locationHint = "for example s3://bucket/prefix?region=eu-central-1, s3://bucket/prefix?endpoint=https://minio.example.com, gs://bucket/prefix, azblob://container/prefix?storage_account=name or file:///folder"

// IsLocation reports whether a text names a place in a store rather than a path or a web address.
func IsLocation(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	_, known := options[scheme]
	return ok && known
}

// Parse reads a location. Its errors are of kind Config.
func Parse(text string) (Location, error) {
	fail := func(format string, args ...any) (Location, error) {
		return Location{}, builder.Errorf(builder.Config, locationHint, format, args...)
	}
	scheme, rest, ok := strings.Cut(text, "://")
	allowed, known := options[scheme]
	if !ok || !known {
		return fail("%q is not in an object store", text)
	}
	rest, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil || strings.ContainsAny(rest, "#\x00") {
		return fail("%q is not a valid location", text)
	}
	for name := range values {
		if !slices.Contains(allowed, name) {
			return fail("%s:// has no option %q", scheme, name)
		}
	}
	l := Location{Scheme: scheme, Path: rest, Options: values}
	if scheme == "file" {
		if !strings.HasPrefix(rest, "/") {
			return fail("%q has no absolute path", text)
		}
		return l, nil
	}
	l.Bucket, l.Path, _ = strings.Cut(rest, "/")
	switch {
	case strings.Contains(l.Bucket, "@"):
		return fail("a location has no room for credentials: they come from the environment")
	case l.Bucket == "" || strings.ContainsAny(l.Bucket, ":%\\ "):
		return fail("%q has no valid bucket", text)
	}
	return l, l.checkEndpoint()
}

// checkEndpoint holds that nothing leaves this machine in the clear.
func (l Location) checkEndpoint() error {
	endpoint := l.Options.Get("endpoint")
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return builder.Errorf(builder.Config, "https://HOST; http only on this machine", "endpoint %q is not valid", endpoint)
	}
	return nil
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

// store names the store, without what does not change which objects are there.
func (l Location) store() string {
	if l.Scheme == "file" {
		return "file://" + l.Path
	}
	return l.Scheme + "://" + l.Bucket + "?" + url.Values{
		"endpoint": l.Options["endpoint"], "storage_account": l.Options["storage_account"],
	}.Encode()
}

// String is the location without its options.
func (l Location) String() string {
	if l.Scheme == "file" {
		return "file://" + l.Path
	}
	return l.Scheme + "://" + l.Bucket + "/" + l.Path
}
