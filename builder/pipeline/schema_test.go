package pipeline_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/pitcrew-dev/pitcrew/builder/pipeline/internal/schema"
)

const schemaFile = "../../docs/schema/pipeline.schema.json"

func TestTheCommittedSchemaIsTheOneOfTheTypes(t *testing.T) {
	got, err := schema.Generate(".")
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
		t.Errorf("%s is out of date: run go generate ./builder/pipeline", schemaFile)
	}
}

func TestEveryObjectOfTheSchemaIsClosedAndEveryFieldDescribed(t *testing.T) {
	raw, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var root object
	if err := json.Unmarshal(raw, &root); err != nil {
		t.Fatal(err)
	}
	root.Defs["Pipeline"] = root
	for name, def := range root.Defs {
		if def.Properties != nil && string(def.AdditionalProperties) != "false" {
			t.Errorf("%s: additionalProperties = %s, want false", name, def.AdditionalProperties)
		}
		for field, property := range def.Properties {
			if target := strings.TrimPrefix(property.Ref, "#/$defs/"); property.Description == "" && root.Defs[target].Description == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
}

type object struct {
	Defs                 map[string]object `json:"$defs"`
	Ref                  string            `json:"$ref"`
	Description          string            `json:"description"`
	Properties           map[string]object `json:"properties"`
	AdditionalProperties json.RawMessage   `json:"additionalProperties"`
}

func TestTheSchemaAcceptsTheExamples(t *testing.T) {
	real, err := os.ReadFile("../../examples/supertuxkart/pipeline.yaml")
	if err != nil {
		t.Fatal(err)
	}
	compiled := compile(t)
	for name, raw := range map[string][]byte{"the documented example": reference(t), "the real example": real, "the small example": []byte(small)} {
		if err := compiled.Validate(instance(t, raw)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each change makes a good pipeline bad for the schema and for Parse.
func TestTheSchemaAndParseRefuseTheSame(t *testing.T) {
	compiled := compile(t)
	for _, c := range []struct{ name, old, replacement string }{
		{"an unknown field", "platforms:", "platfroms:"},
		{"an unknown field in a source", "{path: assets}", "{path: assets, depth: 1}"},
		{"a field that is missing", "repository: small\n", ""},
		{"another kind", "kind: Pipeline", "kind: Deployment"},
		{"another platform", "linux/amd64", "windows/amd64"},
		{"a platform twice", "[linux/amd64]", "[linux/amd64, linux/amd64]"},
		{"no platform", "[linux/amd64]", "[]"},
		{"a number where text is meant", "repository: small", "repository: 1.5"},
		{"text where a number is meant", "metadata:", "budgets: {layers: many}\nmetadata:"},
		{"a number out of range", "metadata:", "budgets: {layers: 0}\nmetadata:"},
		{"a size with an unknown unit", "metadata:", "budgets: {image: 3 parsec}\nmetadata:"},
		{"a size of nothing", "metadata:", "budgets: {image: 0}\nmetadata:"},
		{"a name with a slash", "name: small", "name: ../small"},
		{"two kinds of source", "[dir: {path: assets}]", "[{dir: {path: assets}, image: {ref: ghcr.io/x/y:1}}]"},
		{"no kind of source", "[dir: {path: assets}]", "[{destination: /x}]"},
		{"no source", "[dir: {path: assets}]", "[]"},
		{"no phase", small[strings.Index(small, "phases:"):], "phases: {}\n"},
		{"a url without a digest", "dir: {path: assets}", "archive: {url: https://example.com/a.zip}"},
		{"an unknown format", "dir: {path: assets}", "archive: {path: a, format: rar}"},
		{"two places of an archive", "dir: {path: assets}", "archive: {path: a, parts: [b]}"},
		{"an unknown closure", "[libc6]", "[libc6], dependencies: some"},
		{"an unknown compression", "sources: [apt", "compression: lz4\n    sources: [apt"},
		{"a user's name", "sources: [apt", "config: {user: steve}\n    sources: [apt"},
		{"two kinds of file", "dir: {path: assets}", "files: [{path: /a, content: x, link: y}]"},
		{"a mode that is not octal", "dir: {path: assets}", `files: [{path: /a, content: x, mode: "0999"}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(small, c.old, c.replacement, 1)
			if text == small {
				t.Fatalf("%q is not in the small example", c.old)
			}
			if err := compiled.Validate(instance(t, []byte(text))); err == nil {
				t.Errorf("the schema accepts\n%s", text)
			}
			if _, err := parse(t, text, nil); err == nil {
				t.Errorf("Parse accepts\n%s", text)
			}
		})
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiled, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// instance is a YAML document as the schema's library wants it.
func instance(t *testing.T, raw []byte) any {
	t.Helper()
	var doc any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return out
}
