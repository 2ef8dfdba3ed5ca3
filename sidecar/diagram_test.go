package sidecar_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/pitcrew-dev/pitcrew/sidecar"
)

var update = flag.Bool("update", false, "write the diagram into docs/sidecar.md")

func TestTheDocumentedLifeCycleIsTheTables(t *testing.T) {
	const path, begin, end = "../docs/sidecar.md", "```mermaid\n", "```\n<!-- /diagram -->"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	drawn, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the diagram", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+sidecar.Diagram()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if drawn != sidecar.Diagram() {
		t.Errorf("%s is out of date: go test ./sidecar -update", path)
	}
}
