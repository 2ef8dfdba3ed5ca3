// Package schema makes the JSON Schema of pipeline.yaml from package pipeline's types. It is not part of any product
// binary.
package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
)

const pkg = "github.com/pitcrew-dev/pitcrew/builder/pipeline"

// Generate returns the schema as indented JSON, always the same for the same sources. dir is package pipeline's folder,
// relative to the current one: descriptions are its comments.
func Generate(dir string) ([]byte, error) {
	r := &jsonschema.Reflector{ExpandedStruct: true, FieldNameTag: "yaml", Mapper: mapped}
	if err := r.AddGoComments(pkg, dir, jsonschema.WithFullComment()); err != nil {
		return nil, fmt.Errorf("read the comments in %s: %w", dir, err)
	}
	comments := r.CommentMap
	r.CommentMap = nil
	r.LookupComment = func(t reflect.Type, field string) string {
		return described(comments[strings.TrimSuffix(pkg+"."+t.Name()+"."+field, ".")])
	}
	s := r.Reflect(&pipeline.Pipeline{})
	s.ID = "https://pitcrew.dev/schema/pipeline-v1alpha1.json"
	s.Title = "pitcrew pipeline"
	exactlyOne(s.Definitions["Source"], "dir", "archive", "bucket", "git", "apt", "aptSource", "image", "files")
	exactlyOne(s.Definitions["Archive"], "path", "parts", "url")
	exactlyOne(s.Definitions["File"], "content", "from", "link", "dir")
	for _, field := range []string{"sources", "build"} {
		s.Definitions["Phase"].AnyOf = append(s.Definitions["Phase"].AnyOf, &jsonschema.Schema{Required: []string{field}})
	}
	s.Definitions["Phases"].MinProperties = new(uint64(1))
	web := jsonschema.NewProperties()
	web.Set("url", &jsonschema.Schema{Pattern: "^https?://"})
	s.Definitions["Archive"].If = &jsonschema.Schema{Properties: web, Required: []string{"url"}}
	s.Definitions["Archive"].Then = &jsonschema.Schema{Required: []string{"sha256"}}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return append(raw, '\n'), nil
}

// mapped describes what reflection cannot.
func mapped(t reflect.Type) *jsonschema.Schema {
	if t != reflect.TypeFor[pipeline.Size]() {
		return nil
	}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "integer", Minimum: "1"},
		{Type: "string", Pattern: pipeline.SizePattern},
	}}
}

// described is a Go comment as one line.
func described(comment string) string { return strings.Join(strings.Fields(comment), " ") }

func exactlyOne(s *jsonschema.Schema, fields ...string) {
	for _, f := range fields {
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{f}})
	}
}
