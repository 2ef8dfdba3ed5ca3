// Command schemagen brings the definitions of Kubernetes' own types into charts' values.schema.json, closed, from the OpenAPI
// document of a Kubernetes release. What else is in a schema is written by hand and stays.
//
//	schemagen SWAGGER SCHEMA...
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

type object = map[string]any

const (
	prefix   = "#/$defs/"
	upstream = "#/definitions/"
	quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: schemagen SWAGGER SCHEMA...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "schemagen: error:", err)
		os.Exit(1)
	}
}

func run(swagger string, schemas []string) error {
	var kubernetes struct {
		Definitions map[string]object `json:"definitions"`
	}
	if err := read(swagger, &kubernetes); err != nil {
		return err
	}
	for _, name := range schemas {
		var schema object
		if err := read(name, &schema); err != nil {
			return err
		}
		if err := fill(schema, kubernetes.Definitions); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := write(name, schema); err != nil {
			return err
		}
	}
	return nil
}

func read(name string, to any) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func write(name string, schema object) error {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}

// fill makes $defs anew of what the rest of the schema refers to.
func fill(schema object, from map[string]object) error {
	delete(schema, "$defs")
	defs := object{}
	for missing := references(schema); len(missing) > 0; {
		name := missing[0]
		missing = missing[1:]
		if defs[name] != nil {
			continue
		}
		definition, ok := from[name]
		if !ok {
			return fmt.Errorf("no %s in the OpenAPI document", name)
		}
		defs[name] = closed(name, definition)
		missing = append(missing, references(defs[name])...)
	}
	if len(defs) > 0 {
		schema["$defs"] = defs
	}
	return nil
}

// references are the names of definitions that a value refers to, here or in Kubernetes' document.
func references(v any) []string {
	var out []string
	switch v := v.(type) {
	case object:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if name, ok := v[key].(string); ok && key == "$ref" {
				out = append(out, strings.TrimPrefix(name, prefix))
				continue
			}
			out = append(out, references(v[key])...)
		}
	case []any:
		for _, e := range v {
			out = append(out, references(e)...)
		}
	}
	return out
}

// closed is a definition that admits no property that it does not know, without prose and without what only kubectl reads.
func closed(name string, definition object) object {
	if name == quantity { // the document says string, and the API takes numbers as well
		return object{"type": []any{"string", "number"}}
	}
	out := tidy(definition).(object)
	if _, ok := out["properties"]; ok {
		out["additionalProperties"] = false
	}
	return out
}

func tidy(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for key, e := range v {
			_, text := e.(string)
			switch {
			case key == "properties":
				properties := object{}
				for name, p := range e.(object) {
					properties[name] = tidy(p)
				}
				out[key] = properties
			case key == "description", key == "format", key == "default", strings.HasPrefix(key, "x-kubernetes-"):
			case key == "$ref" && text:
				out[key] = prefix + strings.TrimPrefix(e.(string), upstream)
			default:
				out[key] = tidy(e)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = tidy(v[i])
		}
		return out
	}
	return v
}
