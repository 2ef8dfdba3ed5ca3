package pipeline_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
)

var update = flag.Bool("update", false, "write the schema and golden files anew")

const schemaFile = "../../docs/schema/pipeline.schema.json"

func TestTheExampleParsesWithItsDefaults(t *testing.T) {
	const dir = "../../examples/supertuxkart"
	f, err := os.Open(filepath.Join(dir, "pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := pipeline.Parse("pipeline.yaml", f, os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Phases.Assets.Compression; got != "auto" {
		t.Errorf("assets compression = %q, want auto", got)
	}
	if got := p.Phases.Server.Repository; got != p.Repository {
		t.Errorf("server repository = %q, want the pipeline's %q", got, p.Repository)
	}
	if got := p.Phases.Base.Split.Layers; got != 1 {
		t.Errorf("base layers = %d, want 1", got)
	}
	if p.Lock != "assets.lock" || p.Budgets.Image != 900<<20 {
		t.Errorf("lock = %q, image budget = %d", p.Lock, p.Budgets.Image)
	}
}

// Every file in testdata is wrong in several ways; its .golden file is the whole message.
func TestAllFaultsAreReportedTogether(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = pipeline.Parse("pipeline.yaml", bytes.NewReader(raw), fstest.MapFS{"assets/a": {}})
			if builder.KindOf(err) != builder.Config {
				t.Fatalf("Parse: %v, want a Config error", err)
			}
			golden := strings.TrimSuffix(name, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, rerr := os.ReadFile(golden)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if got := err.Error() + "\n"; got != string(want) {
				t.Errorf("message:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestFaultsCarryTheirPlace(t *testing.T) {
	_, err := pipeline.Parse("p.yaml", strings.NewReader("apiVersion: pitcrew.dev/v1alpha1\nkind: Pipeline\nplatfroms: []\n"), nil)
	faults, ok := errors.AsType[pipeline.Faults](err)
	if !ok || len(faults) != 1 {
		t.Fatalf("Parse: %v, want one fault", err)
	}
	if f := faults[0]; f.Line != 3 || f.Path != "platfroms" || f.Hint != "did you mean platforms?" {
		t.Errorf("fault = %+v", f)
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]pipeline.Size{"512MiB": 512 << 20, "900MB": 900e6, "4096": 4096, "1 GiB": 1 << 30, "7B": 7, "2TB": 2e12} {
		if got, err := pipeline.ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "1.5GiB", "99999999999TiB", "1 PB"} {
		if got, err := pipeline.ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

func TestTheCommittedSchemaIsTheOneOfTheTypes(t *testing.T) {
	got, err := pipeline.Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of date: run make generate", schemaFile)
	}
}

func TestTheSchemaAcceptsTheExampleAndRefusesAnUnknownField(t *testing.T) {
	raw, err := os.ReadFile("../../examples/supertuxkart/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(viaJSON(t, doc)); err != nil {
		t.Errorf("the example: %v", err)
	}
	doc["platfroms"] = doc["platforms"]
	if err := schema.Validate(viaJSON(t, doc)); err == nil {
		t.Error("an unknown field: no error")
	}
}

func viaJSON(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func FuzzParse(f *testing.F) {
	raw, err := os.ReadFile("../../examples/supertuxkart/pipeline.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("phases: {assets: {sources: [{files: [{path: /a, content: ''}]}]}}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := pipeline.Parse("p", bytes.NewReader(in), nil)
		if (p == nil) == (err == nil) {
			t.Errorf("Parse = %v, %v", p, err)
		}
		if err != nil && builder.KindOf(err) != builder.Config {
			t.Errorf("Parse: kind %v, want Config", builder.KindOf(err))
		}
	})
}
