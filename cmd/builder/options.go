package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
	"github.com/pitcrew-dev/pitcrew/builder/publish/registry"
	"github.com/pitcrew-dev/pitcrew/internal/progress"
)

// options are the flags that all commands have.
type options struct {
	plainHTTP bool
	output    string
	cacheDir  string
	retries   int
	reporter  *progress.Reporter
	log       *slog.Logger // nil before prepare
}

// progress counts the bytes of layers that are packed.
func (o *options) progress() func(string, int64) (func(int64), func()) {
	return func(name string, total int64) (func(int64), func()) {
		item := o.reporter.Start(name, total)
		return item.Add, item.Done
	}
}

func (o *options) addTo(f *pflag.FlagSet) {
	f.BoolVar(&o.plainHTTP, "plain-http", false, "speak http to registries")
	f.IntVar(&o.retries, "retries", 7, "how often a request to a registry is made again that failed for a reason which may pass; waits grow to 30s")
	f.StringVar(&o.output, "output", "text", "what goes to standard output: text or json (plan: also markdown)")
	f.StringVar(&o.cacheDir, "cache-dir", defaultCache(), "where digests of files and layers are remembered")
}

func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "pitcrew")
}

// print writes v as one JSON document, or the text.
func (o *options) print(w io.Writer, v any, text func(io.Writer) error) error {
	switch o.output {
	case "json":
		return json.NewEncoder(w).Encode(v)
	case "text":
		return text(w)
	}
	return builder.Errorf(builder.Config, "use text or json", "--output %q is not known", o.output)
}

func (o *options) client() *registry.Client {
	return registry.New(registry.Options{PlainHTTP: o.plainHTTP, Retries: max(o.retries, 1), Log: o.log})
}

// open splits a reference into its repository and what to read there: oci:DIR[:TAG], HOST/PATH:TAG, HOST/PATH@DIGEST.
func (o *options) open(ref string) (builder.Reader, string, error) {
	if dir, ok := strings.CutPrefix(ref, "oci:"); ok {
		dir, tag := cutReference(dir)
		if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
			return nil, "", builder.Errorf(builder.Input, "write oci:DIR:TAG", "%s is not an OCI layout: %w", dir, err)
		}
		l, err := layout.Open(dir)
		return l, tag, err
	}
	repo, tag := cutReference(ref)
	r, err := o.client().Repository(repo)
	return r, tag, err
}

// cutReference splits off @DIGEST or :TAG; without either it is "latest".
func cutReference(ref string) (repo, reference string) {
	if before, digest, ok := strings.Cut(ref, "@"); ok {
		return before, digest
	}
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[:i], ref[i+1:]
	}
	return ref, "latest"
}

func bytesText(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
