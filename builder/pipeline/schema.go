package pipeline

import (
	"encoding/json"

	"github.com/invopop/jsonschema"
)

// Schema is the JSON Schema of pipeline.yaml, made from the types: for editors, and for pipelines' own checks.
func Schema() ([]byte, error) {
	r := &jsonschema.Reflector{DoNotReference: false, ExpandedStruct: true}
	s := r.Reflect(&Pipeline{})
	s.ID = "https://pitcrew.dev/schema/pipeline-v1alpha1.json"
	s.Title = "pitcrew pipeline"
	raw, err := json.MarshalIndent(s, "", "  ")
	return append(raw, '\n'), err
}
