package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/evidence"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/provenance"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
	"github.com/pitcrew-dev/pitcrew/builder/sign"
)

// Attached counts what is beside an image.
type Attached struct {
	Provenances int `json:"provenances"`
	SBOMs       int `json:"sboms"`
	// Files counts the asset files that are listed.
	Files int `json:"files"`
	// Signatures counts the signed statements about the index.
	Signatures int `json:"signatures"`
}

// attached is what is beside an image.
type attached struct {
	provenances []evidence.Document
	bills       map[v1.Hash][]evidence.Document // by the platform's manifest
	files       *evidence.FileList              // nil: there is no list
}

func load(ctx context.Context, repo builder.Reader, img *inspect.Image) (*attached, error) {
	a := &attached{bills: map[v1.Hash][]evidence.Document{}}
	var err error
	if a.provenances, err = evidence.Provenances(ctx, repo, img.Descriptor.Digest); err != nil {
		return nil, fmt.Errorf("read the provenance: %w", err)
	}
	for _, p := range img.Platforms {
		if a.bills[p.Manifest.Digest], err = evidence.SBOMs(ctx, repo, p.Manifest.Digest); err != nil {
			return nil, fmt.Errorf("read the bill of materials for %s: %w", p.Platform, err)
		}
	}
	a.files, err = evidence.ReadFileList(ctx, repo, img.Descriptor.Digest)
	if errors.Is(err, builder.ErrNotFound) {
		err = nil
	}
	return a, err
}

// evidence compares what is attached with what was read. Artifacts of other images are somebody else's business.
func (c *checker) evidence(img *inspect.Image) {
	if c.report.Contract == "" {
		return
	}
	for _, doc := range c.attached.provenances {
		c.report.Attached.Provenances++
		if err := checkProvenance(doc.Content, img); err != nil {
			c.fault("the provenance %s: %v", doc.Artifact, err)
		}
	}
	for _, p := range img.Platforms {
		for _, doc := range c.attached.bills[p.Manifest.Digest] {
			c.report.Attached.SBOMs++
			if err := c.checkBill(doc.Content, p); err != nil {
				c.fault("%s: the bill of materials %s: %v", p.Platform, doc.Artifact, err)
			}
		}
	}
	if c.attached.files != nil && len(img.Platforms) > 0 {
		c.checkFiles(img.Platforms[0])
	}
}

// checkProvenance holds that a statement is about the image and nothing else, and that its inputs are the image's.
func checkProvenance(raw []byte, img *inspect.Image) error {
	s, err := provenance.ParseStatement(raw)
	if err != nil {
		return err
	}
	if !s.About(img.Descriptor.Digest) {
		return errors.New("it is not about this image")
	}
	for _, subject := range s.Subject {
		if !isOf(subject, img) {
			return fmt.Errorf("it is also about %q, which is not in the image", subject.Digest)
		}
	}
	if s.PredicateType != provenance.PredicateType {
		return nil // says something else
	}
	inputs, err := provenance.ParseInputs(s.Predicate)
	if err != nil {
		return err
	}
	for _, phase := range builder.Phases() {
		have, ok := img.Annotations[builder.AnnotationInputPrefix+string(phase)]
		if want, said := inputs[phase]; ok != said || ok && want.String() != have {
			return fmt.Errorf("phase %s was made from %q by what it says, and from %q by the image's annotation", phase, want, have)
		}
	}
	return nil
}

func isOf(s provenance.Subject, img *inspect.Image) bool {
	if s.Digest["sha256"] == img.Descriptor.Digest.Hex {
		return true
	}
	return slices.ContainsFunc(img.Platforms, func(p inspect.Platform) bool { return s.Digest["sha256"] == p.Manifest.Digest.Hex })
}

// checkBill writes the bill anew from what the layers hold.
func (c *checker) checkBill(raw []byte, p inspect.Platform) error {
	head, err := sbom.ParseHead(raw)
	if err != nil {
		return err
	}
	want, err := sbom.Document(sbom.Subject{
		Name: head.Name, Manifest: p.Manifest.Digest, Platform: p.Platform, Created: p.ConfigFile.Created.Time,
	}, head.Tool, c.phases(p))
	if err != nil || bytes.Equal(raw, want) {
		return err
	}
	difference, err := sbom.Difference(raw, want)
	if err != nil {
		return err
	}
	return fmt.Errorf("it is not that of the image: %s", difference)
}

// phases are what the platform's layers say, phase by phase.
func (c *checker) phases(p inspect.Platform) []sbom.Phase {
	var out []sbom.Phase
	for _, name := range builder.Phases() {
		part, ok := p.Part(name)
		if !ok {
			continue
		}
		phase := sbom.Phase{Name: name, Input: part.InputDigest}
		if name == builder.Assets {
			if c.attached.files != nil {
				phase.Files = c.attached.files.Digest
			}
			_, phase.Findings = c.assets(p)
		} else {
			phase.Findings = c.findings(part.Layers)
		}
		out = append(out, phase)
	}
	return out
}

// findings are what the files of layers that do not overlap say.
func (c *checker) findings(layers []compose.Layer) []sbom.Finding {
	var out []sbom.Finding
	for _, l := range layers {
		if own := c.contents[l.Descriptor.Digest]; own != nil {
			out = append(out, own.findings...)
		}
	}
	slices.SortFunc(out, func(a, b sbom.Finding) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// checkFiles compares the listed files with the assets.
func (c *checker) checkFiles(p inspect.Platform) {
	listed, err := sbom.ParseFiles(c.attached.files.Documents)
	if err != nil {
		c.fault("the list of files: %v", err)
		return
	}
	c.report.Attached.Files = len(listed)
	have := map[string]v1.Hash{}
	files, _ := c.assets(p)
	for path, sum := range files {
		have[sbom.NewFile(path, sum).Name] = sum
	}
	for _, f := range listed {
		switch sum, ok := have[f.Name]; {
		case !ok:
			c.fault("the list of files has %.200q, which is not in the image", f.Name)
		case sum != f.SHA256:
			c.fault("the list of files says that %.200q has %s; it has %s", f.Name, f.SHA256, sum)
		}
		delete(have, f.Name)
	}
	for name := range have {
		c.fault("the list of files lacks %.200q", name)
	}
}

// signatures checks the signed statements about the index.
func (c *checker) signatures(ctx context.Context, img *inspect.Image, key *sign.PublicKey) {
	envelopes, err := sign.Envelopes(ctx, c.repo, img.Descriptor.Digest)
	if err != nil && !errors.Is(err, builder.ErrNotFound) {
		c.fault("the signatures cannot be read: %v", err)
		return
	}
	signed := map[string]int{}
	for _, raw := range envelopes {
		statement, err := sign.Open(ctx, key, raw)
		if err != nil {
			if key == nil {
				c.fault("a signed statement: %v", err)
			}
			continue // another's signature
		}
		c.report.Attached.Signatures++
		if kind, err := c.checkSigned(statement, img); err != nil {
			c.fault("a signed statement: %v", err)
		} else {
			signed[kind]++
		}
	}
	if key == nil {
		return
	}
	if signed[provenance.PredicateType] == 0 {
		c.fault("no provenance is signed by the key")
	}
	if n := signed[sbom.PredicateType]; n < len(img.Platforms) {
		c.fault("bills of materials of %d platforms are signed by the key, of %d", n, len(img.Platforms))
	}
}

// checkSigned holds that a statement is about the image and says what is attached. Statements of other kinds pass.
func (c *checker) checkSigned(raw []byte, img *inspect.Image) (kind string, err error) {
	s, err := provenance.ParseStatement(raw)
	if err != nil {
		return "", err
	}
	if !s.About(img.Descriptor.Digest) {
		return "", errors.New("it is not about this image")
	}
	switch s.PredicateType {
	case provenance.PredicateType:
		if !slices.ContainsFunc(c.attached.provenances, func(d evidence.Document) bool { return bytes.Equal(d.Content, raw) }) {
			return "", errors.New("it is not the provenance that is attached")
		}
	case sbom.PredicateType:
		for _, p := range img.Platforms {
			same := func(d evidence.Document) bool { return bytes.Equal(d.Content, s.Predicate) }
			if s.About(p.Manifest.Digest) && slices.ContainsFunc(c.attached.bills[p.Manifest.Digest], same) {
				return s.PredicateType, nil
			}
		}
		return "", errors.New("it is not a bill of materials that is attached")
	}
	return s.PredicateType, nil
}
