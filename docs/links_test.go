package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestEveryAlertHasItsRunbook(t *testing.T) {
	raw, err := os.ReadFile("../charts/pitcrew/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	if err := yaml.Unmarshal(raw, &rules); err != nil {
		t.Fatal(err)
	}
	var alerts, runbooks []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts = append(alerts, r.Alert)
		}
	}
	for _, heading := range headings(t, "operations.md") {
		if alert, ok := strings.CutPrefix(heading, "Alert "); ok {
			runbooks = append(runbooks, alert)
		}
	}
	if diff := cmp.Diff(alerts, runbooks); diff != "" || len(alerts) == 0 {
		t.Errorf("alerts of the chart, and headings of operations.md (-want +got):\n%s", diff)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped = regexp.MustCompile(`[^a-z0-9 _-]`)
	code    = regexp.MustCompile("(?s)\n```.*?\n```")
)

func TestLinksLeadSomewhere(t *testing.T) {
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"decisions/*.md", "../*.md", "../charts/*/README.md"} {
		found, err := filepath.Glob(more)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	n := 0
	for _, file := range files {
		for _, m := range link.FindAllStringSubmatch(text(t, file), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
				continue
			}
			if anchor != "" && strings.HasSuffix(target, ".md") && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s links to %s, whose headings do not have it", file, m[1])
			}
		}
	}
	if n < 50 {
		t.Errorf("%d links in %d files: they are not seen", n, len(files))
	}
}

// text is a document without its blocks of code.
func text(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return code.ReplaceAllString(string(raw), "")
}

func headings(t *testing.T, file string) []string {
	t.Helper()
	var out []string
	for _, m := range heading.FindAllStringSubmatch(text(t, file), -1) {
		out = append(out, m[1])
	}
	return out
}

// anchors are what GitHub calls a document's headings.
func anchors(t *testing.T, file string) []string {
	t.Helper()
	var out []string
	for _, h := range headings(t, file) {
		out = append(out, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h), ""), " ", "-"))
	}
	return out
}
