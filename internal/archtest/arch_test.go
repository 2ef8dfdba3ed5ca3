package archtest_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/pitcrew-dev/pitcrew/"

// rule forbids packages below From to import, themselves, what lies below one of Never. Exact means From alone.
type rule struct {
	from  string
	exact bool
	never []string
}

var rules = []rule{
	{from: "internal", never: []string{"builder", "warmer", "sidecar", "cmd"}},
	{from: "builder", never: []string{"warmer", "sidecar", "cmd"}},
	{from: "warmer", never: []string{"builder", "sidecar", "cmd"}},
	{from: "sidecar", never: []string{"builder", "warmer", "cmd"}},
	{from: "builder", exact: true, never: []string{"builder/", "os", "net", "net/http", "time"}},
	{from: "builder/merge", never: []string{"os", "net", "net/http", "time"}},
	{from: "builder/lock", never: []string{"os", "net", "net/http", "time"}},
	{from: "builder/split", never: []string{"os", "net", "net/http", "time"}},
	{from: "builder/compose", never: []string{"os", "net", "net/http"}},
	{from: "builder/pipeline", never: []string{"os", "net", "net/http", "time"}},
	{from: "builder/publish", never: []string{"builder/source", "builder/build"}},
	{from: "builder/source", never: []string{"builder/publish", "builder/build", "builder/layer"}},
}

// violations lists "package imports package" for every broken rule.
func violations(imports map[string][]string) []string {
	var out []string
	for pkg, list := range imports {
		for _, r := range rules {
			if pkg != r.from && (r.exact || !strings.HasPrefix(pkg, r.from+"/")) {
				continue
			}
			for _, imported := range list {
				for _, never := range r.never {
					if imported == never || strings.HasPrefix(imported, strings.TrimSuffix(never, "/")+"/") {
						out = append(out, pkg+" imports "+imported)
					}
				}
			}
		}
	}
	return out
}

func TestImportsGoOneWay(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(strings.ReplaceAll(line, module, ""))
		imports[fields[0]] = fields[1:]
	}
	if len(imports) < 10 {
		t.Fatalf("go list knows %d packages only", len(imports))
	}
	for _, v := range violations(imports) {
		t.Error(v)
	}
}

func TestAPlantedViolationIsFound(t *testing.T) {
	for pkg, imported := range map[string]string{
		"internal/cli": "builder/lock", "builder/source/dir": "warmer", "builder": "os", "builder/split": "net/http",
	} {
		if got := violations(map[string][]string{pkg: {imported}}); len(got) == 0 {
			t.Errorf("%s imports %s: not found", pkg, imported)
		}
	}
	if got := violations(map[string][]string{"builder/build": {"os", "builder/layer", "internal/cli"}}); len(got) > 0 {
		t.Errorf("allowed imports are reported: %v", got)
	}
}
