// Package provenance writes where an image comes from: an in-toto statement (https://in-toto.io/Statement/v1) with a SLSA v1
// provenance (https://slsa.dev/spec/v1.0/provenance). A statement is a function of the image and what it was made of: it has no
// times, hosts or random numbers.
package provenance

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// What statements are called.
const (
	MediaType     = "application/vnd.in-toto+json"
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://slsa.dev/provenance/v1"
	// BuildType says how the parameters are to be read: docs/contract.md, "Provenance".
	BuildType = "https://pitcrew.dev/build/v1"
	builderID = "https://pitcrew.dev/builder"
)

// Statement says something, the predicate, about subjects.
type Statement struct {
	Type          string          `json:"_type"`
	Subject       []Subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// Subject is an image, by its digest.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// NewSubject names an index or manifest.
func NewSubject(name string, digest v1.Hash) Subject {
	return Subject{name, map[string]string{digest.Algorithm: digest.Hex}}
}

// About reports whether the statement has the subject.
func (s *Statement) About(digest v1.Hash) bool {
	return slices.ContainsFunc(s.Subject, func(have Subject) bool { return digest.Hex != "" && have.Digest[digest.Algorithm] == digest.Hex })
}

// NewStatement makes a statement of a predicate that is JSON.
func NewStatement(subjects []Subject, predicateType string, predicate json.RawMessage) ([]byte, error) {
	return json.Marshal(Statement{StatementType, subjects, predicateType, predicate})
}

// ParseStatement reads a statement; what is none is an Input error.
func ParseStatement(raw []byte) (*Statement, error) {
	var s Statement
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, builder.Errorf(builder.Input, "", "not an in-toto statement: %w", err)
	}
	if s.Type != StatementType {
		return nil, builder.Errorf(builder.Input, "", "not an in-toto statement of version 1: its type is %.80q", s.Type)
	}
	return &s, nil
}

// Build is what a provenance says. Everything in it is part of the statement's bytes.
type Build struct {
	// Pipeline is the pipeline's name, and PipelineDigest its file's.
	Pipeline       string
	PipelineDigest v1.Hash
	// Version is the builder's.
	Version string
	// Platforms are such as linux/arm64, in the order of the index.
	Platforms []string
	// Inputs are the phases' input digests over all platforms, as in the image's annotations.
	Inputs map[builder.Phase]v1.Hash
	// Materials are what the phases were made of, in any order, perhaps repeatedly.
	Materials []builder.Material
}

// predicate is as much of a SLSA provenance as we write. (The types that in-toto generates from its protocol buffers are
// written with random spaces on purpose.)
type predicate struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType            string     `json:"buildType"`
	ExternalParameters   parameters `json:"externalParameters"`
	ResolvedDependencies []resource `json:"resolvedDependencies"`
}

// parameters are what whoever asked for the build could choose.
type parameters struct {
	Pipeline  resource `json:"pipeline"`
	Platforms []string `json:"platforms"`
}

type resource struct {
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
	Name   string            `json:"name,omitempty"`
}

type runDetails struct {
	Builder struct {
		ID      string            `json:"id"`
		Version map[string]string `json:"version"`
	} `json:"builder"`
}

// Predicate is the provenance as JSON.
func (b Build) Predicate() (json.RawMessage, error) {
	p := predicate{BuildDefinition: buildDefinition{
		BuildType:            BuildType,
		ExternalParameters:   parameters{resource{Name: b.Pipeline, Digest: digestSet(b.PipelineDigest)}, b.Platforms},
		ResolvedDependencies: b.dependencies(),
	}}
	p.RunDetails.Builder.ID, p.RunDetails.Builder.Version = builderID, map[string]string{"pitcrew": b.Version}
	return json.Marshal(p)
}

func digestSet(h v1.Hash) map[string]string {
	if h == (v1.Hash{}) {
		return nil
	}
	return map[string]string{h.Algorithm: h.Hex}
}

// phasePrefix begins the name of a dependency that stands for all that a phase was made from.
const phasePrefix = "phase/"

// dependencies are the phases, bottom first, then the materials in a fixed order.
func (b Build) dependencies() []resource {
	var out []resource
	for _, phase := range builder.Phases() {
		if input, ok := b.Inputs[phase]; ok {
			out = append(out, resource{Name: phasePrefix + string(phase), Digest: digestSet(input)})
		}
	}
	for _, m := range sorted(b.Materials) {
		out = append(out, resource{URI: m.URI, Name: m.Name, Digest: digestSet(m.Digest)})
	}
	return out
}

// sorted is the materials in a fixed order, each once.
func sorted(materials []builder.Material) []builder.Material {
	ordered := slices.SortedFunc(slices.Values(materials), func(a, b builder.Material) int {
		return cmp.Or(strings.Compare(a.URI, b.URI), strings.Compare(a.Name, b.Name), strings.Compare(a.Digest.String(), b.Digest.String()))
	})
	return slices.Compact(ordered)
}

// ParseInputs reads the phases' input digests from a predicate.
func ParseInputs(raw json.RawMessage) (map[builder.Phase]v1.Hash, error) {
	var p predicate
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, builder.Errorf(builder.Input, "", "not a SLSA provenance: %w", err)
	}
	if p.BuildDefinition.BuildType != BuildType {
		return nil, builder.Errorf(builder.Input, "", "not one of our provenances: its build type is %.80q", p.BuildDefinition.BuildType)
	}
	out := map[builder.Phase]v1.Hash{}
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		phase, ok := strings.CutPrefix(d.Name, phasePrefix)
		if hex := d.Digest["sha256"]; ok && hex != "" {
			out[builder.Phase(phase)] = v1.Hash{Algorithm: "sha256", Hex: hex}
		}
	}
	return out, nil
}
