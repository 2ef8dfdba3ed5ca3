// Package metricstest holds a page of metrics to what people rely on: it changes only on purpose, Prometheus' own linter has nothing
// to say against it, and docs/metrics.md has all of it and nothing else.
package metricstest

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

var update = flag.Bool("update", false, "write the golden page of metrics anew")

var typed = regexp.MustCompile(`(?m)^# TYPE (\S+) `)

// Check compares a page with testdata/metrics.golden of the package under test, which lies two folders below the module, and
// with docs/metrics.md. prefix begins the name of every metric.
func Check(t *testing.T, page, prefix string) {
	t.Helper()
	golden(t, page)
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("`("+regexp.QuoteMeta(prefix)+`[a-z_]+)`).FindAllStringSubmatch(string(doc), -1) {
		documented[m[1]] = true
	}
	exported := map[string]bool{}
	for _, m := range typed.FindAllStringSubmatch(page, -1) {
		exported[m[1]] = true
		if !documented[m[1]] {
			t.Errorf("docs/metrics.md does not have %s", m[1])
		}
		if !strings.HasPrefix(m[1], prefix) {
			t.Errorf("%s does not begin with %s", m[1], prefix)
		}
	}
	for name := range documented {
		if !exported[name] {
			t.Errorf("docs/metrics.md has %s, which is not exported", name)
		}
	}
}

func golden(t *testing.T, page string) {
	t.Helper()
	path := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), page); diff != "" {
		t.Errorf("the page of metrics (-want +got); make generate if that is meant:\n%s", diff)
	}
}
