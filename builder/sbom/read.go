package sbom

import (
	"bytes"
	"maps"
	"slices"

	spdxjson "github.com/spdx/tools-golang/json"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/pitcrew-dev/pitcrew/builder"
)

func parse(raw []byte) (*spdx.Document, error) {
	var doc spdx.Document
	if err := spdxjson.ReadInto(bytes.NewReader(raw), &doc); err != nil {
		return nil, builder.Errorf(builder.Input, "", "not an SPDX document: %w", err)
	}
	return &doc, nil
}

// Head is how a document begins.
type Head struct {
	Name string
	// Tool is the program that wrote it, with its version.
	Tool string
}

// ParseHead reads a document of ours; anything else is an Input error.
func ParseHead(raw []byte) (Head, error) {
	doc, err := parse(raw)
	if err != nil {
		return Head{}, err
	}
	h := Head{Name: doc.DocumentName}
	if doc.CreationInfo != nil && len(doc.CreationInfo.Creators) == 1 {
		h.Tool = doc.CreationInfo.Creators[0].Creator
	}
	return h, nil
}

// Difference names a package that one of two documents has and the other lacks.
func Difference(got, want []byte) (string, error) {
	had, err := packages(got)
	if err != nil {
		return "", err
	}
	wanted, err := packages(want)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(had)) {
		if !wanted[name] {
			return "it lists " + name, nil
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if !had[name] {
			return "it lacks " + name, nil
		}
	}
	return "what it says of the same packages differs", nil
}

func packages(raw []byte) (map[string]bool, error) {
	doc, err := parse(raw)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, p := range doc.Packages {
		out[p.PackageName+" "+p.PackageVersion] = true
	}
	return out, nil
}
