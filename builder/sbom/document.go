package sbom

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// MediaType is that of a document.
const MediaType = "application/spdx+json"

// PredicateType is that of a document in an in-toto statement.
const PredicateType = "https://spdx.dev/Document"

// Subject is what a document is about: one platform's image.
type Subject struct {
	// Name is for people.
	Name string
	// Manifest is the digest of the platform's manifest.
	Manifest v1.Hash
	Platform v1.Platform
	// Created is the image's own time.
	Created time.Time
}

// Phase is what is known of one phase of the image.
type Phase struct {
	Name     builder.Phase
	Input    v1.Hash
	Findings []Finding
	// Files is the [FilesDigest] of the documents that list the phase's files, if there are any.
	Files v1.Hash
}

// Document is the SPDX document of a platform's image, as JSON. What a phase says about a path replaces what phases before it
// said. tool is the program that asks, with its version.
func Document(subject Subject, tool string, phases []Phase) ([]byte, error) {
	w := newWriter(subject.Name, "https://pitcrew.dev/spdx/"+subject.Manifest.Algorithm+"-"+subject.Manifest.Hex, subject.Created, tool)
	image := w.image(subject)
	last := lastWord(phases)
	for i := range phases {
		w.phase(image, i, &phases[i], last)
	}
	return json.Marshal(w.doc)
}

// lastWord is the number of the phase whose word about a path counts, and the system's name.
func lastWord(phases []Phase) map[string]int {
	last := map[string]int{}
	for i := range phases {
		for _, f := range phases[i].Findings {
			last[f.Path] = i
		}
	}
	return last
}

// writer collects a document.
type writer struct{ doc *spdx.Document }

func newWriter(name, namespace string, created time.Time, tool string) *writer {
	return &writer{doc: &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: name, DocumentNamespace: namespace,
		CreationInfo: &spdx.CreationInfo{
			Created: created.UTC().Format(time.RFC3339), Creators: []common.Creator{{CreatorType: "Tool", Creator: tool}},
		},
	}}
}

func (w *writer) relate(a common.ElementID, how string, b common.ElementID) {
	w.doc.Relationships = append(w.doc.Relationships, &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: a}, RefB: common.DocElementID{ElementRefID: b}, Relationship: how,
	})
}

// add enters a package below another, with what SPDX asks of every package.
func (w *writer) add(p spdx.Package, below common.ElementID, how string) common.ElementID {
	p.PackageDownloadLocation = "NOASSERTION"
	p.PackageLicenseConcluded = "NOASSERTION"
	p.PackageLicenseDeclared = "NOASSERTION"
	p.PackageCopyrightText = "NOASSERTION"
	w.doc.Packages = append(w.doc.Packages, &p)
	w.relate(below, how, p.PackageSPDXIdentifier)
	return p.PackageSPDXIdentifier
}

func (w *writer) image(s Subject) common.ElementID {
	return w.add(spdx.Package{
		PackageName: s.Name, PackageSPDXIdentifier: "image", PackageVersion: s.Manifest.String(),
		PackageFileName: s.Platform.String(), PrimaryPackagePurpose: "CONTAINER",
		PackageChecksums: []common.Checksum{{Algorithm: "SHA256", Value: s.Manifest.Hex}},
	}, "DOCUMENT", common.TypeRelationshipDescribe)
}

func (w *writer) phase(image common.ElementID, i int, p *Phase, last map[string]int) {
	pkg := spdx.Package{
		PackageName: string(p.Name), PackageSPDXIdentifier: common.ElementID("phase-" + string(p.Name)), PackageVersion: p.Input.String(),
		PackageComment: "a phase of the image; its version is the digest of what it was made from",
	}
	if p.Files != (v1.Hash{}) {
		pkg.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: p.Files.Hex}}
		pkg.PackageComment += "; its checksum is of the documents beside the image that list its files"
	}
	below := w.add(pkg, image, common.TypeRelationshipContains)
	system := systemOf(p.Findings)
	for _, f := range p.Findings {
		if last[f.Path] != i {
			continue
		}
		for _, d := range f.Debs {
			w.deb(below, system, d)
		}
		if f.Program != nil {
			w.program(below, f.Path, f.Program)
		}
	}
}

func systemOf(findings []Finding) string {
	for _, f := range findings {
		if f.System != "" {
			return f.System
		}
	}
	return ""
}

func (w *writer) deb(phase common.ElementID, system string, d Deb) {
	w.add(spdx.Package{
		PackageName: d.Name, PackageVersion: d.Version, PackageSPDXIdentifier: identifier(string(phase), "deb", d.Name, d.Architecture, d.Version),
		PackageExternalReferences: purl(debURL(system, d)),
	}, phase, common.TypeRelationshipContains)
}

func (w *writer) program(phase common.ElementID, path string, p *Program) {
	program := w.add(spdx.Package{
		PackageName: p.Main.Path, PackageVersion: cmp.Or(p.Main.Version, "(devel)"), PackageFileName: "/" + path,
		PackageSPDXIdentifier: identifier(string(phase), "go", path), PrimaryPackagePurpose: "APPLICATION",
		PackageSourceInfo: "built by " + p.GoVersion, PackageExternalReferences: purl(goURL(p.Main)),
	}, phase, common.TypeRelationshipContains)
	modules := append([]Module{{"stdlib", trimGo(p.GoVersion)}}, p.Modules...)
	for i, m := range modules {
		w.add(spdx.Package{
			PackageName: m.Path, PackageVersion: m.Version, PackageSPDXIdentifier: identifier(string(program), fmt.Sprint(i)),
			PackageExternalReferences: purl(goURL(m)),
		}, program, common.TypeRelationshipDependsOn)
	}
}

func purl(url string) []*spdx.PackageExternalReference {
	return []*spdx.PackageExternalReference{{Category: "PACKAGE-MANAGER", RefType: "purl", Locator: url}}
}
