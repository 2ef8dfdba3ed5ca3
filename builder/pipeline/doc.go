// Package pipeline is pipeline.yaml: its types, its strict parser, and the checks that need no source to be read.
//
// [Parse] is all that a caller needs. It collects every fault of a file, each with its place and the way out, instead
// of stopping at the first: a person fixes a file once. What a source holds is not looked at, so that two sources
// writing one path are found here only if the file itself says so; the rest is found when trees are merged.
//
// Fields may be added to v1alpha1; a field's meaning does not change. The JSON Schema for editors is generated from
// the types of this package and their comments.
package pipeline

//go:generate sh -c "go run ./internal/schemagen >schema.tmp && mv schema.tmp ../../docs/schema/pipeline.schema.json"
