package build

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/evidence"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/provenance"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

// Recipe is what a build was asked for, for its provenance.
type Recipe struct {
	// Pipeline is the pipeline's name, and Digest its file's.
	Pipeline string
	Digest   v1.Hash
	// Version is the builder's.
	Version string
}

// What a phase's files say of packages and programs, as an artifact beside the phase's image: whoever has only the image can
// write the bill of materials of a server image with it.
const (
	findingsArtifact = "application/vnd.dev.pitcrew.findings.v1"
	findingsPart     = "application/vnd.dev.pitcrew.findings.v1+json+zstd"
	maxFindings      = 256 << 20 // bytes of JSON
)

// look finds out what the unit's files say, once. A unit that is ready knows it from its image.
func (u *unit) look(ctx context.Context) ([]sbom.Finding, error) {
	if u.looked {
		return u.findings, nil
	}
	found, err := sbom.Look(ctx, u.tree)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.name(), err)
	}
	u.findings, u.looked = found, true
	return found, nil
}

// attachPhase stores what is known of a phase beside its image, unless the image that the build goes on from has the same
// phase: it is there then.
func (r *run) attachPhase(phase builder.Phase, index compose.Index) attachment {
	return func(ctx context.Context, to *attach.Batch) error {
		if r.published(phase) {
			return nil
		}
		var units []*unit
		for _, u := range r.units {
			if u.phase.Name == phase {
				units = append(units, u)
			}
		}
		if err := attachFindings(ctx, to, units); err != nil {
			return err
		}
		if phase == builder.Assets {
			if _, err := r.attachFiles(ctx, to, units[0]); err != nil {
				return err
			}
		}
		return r.attachProvenance(ctx, to, index, materials(units), phase)
	}
}

// published reports whether the phase's image was published with the one that the build goes on from.
func (r *run) published(phase builder.Phase) bool {
	if slices.ContainsFunc(r.units, func(u *unit) bool { return u.phase.Name == phase && u.unfounded }) {
		return false
	}
	was, ok := r.previousInput(phase)
	return ok && r.req.From == nil && was == compose.PhaseDigest(inputsOf(r.units, phase))
}

func attachFindings(ctx context.Context, to *attach.Batch, units []*unit) error {
	all := map[string][]sbom.Finding{}
	for _, u := range units {
		found, err := u.look(ctx)
		if err != nil {
			return err
		}
		for _, p := range u.platforms {
			all[p.String()] = found
		}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	parts, err := attach.Pack(findingsPart, raw)
	if err != nil {
		return err
	}
	if _, err := to.Put(ctx, findingsArtifact, parts); err != nil {
		return fmt.Errorf("attach what files say: %w", err)
	}
	return nil
}

// readFindings reads what attachFindings stored, by platform.
func readFindings(ctx context.Context, repo builder.Reader, image v1.Hash) (map[string][]sbom.Finding, error) {
	parts, err := attach.ReadPacked(ctx, repo, image, findingsArtifact, maxFindings)
	if err != nil {
		return nil, err
	}
	var out map[string][]sbom.Finding
	for _, raw := range parts { // one
		if err := json.Unmarshal(raw, &out); err != nil {
			return nil, builder.Errorf(builder.Input, "", "what the files of %s say cannot be read: %w", image, err)
		}
	}
	return out, nil
}

// attachFiles lists the assets' files beside an image, and returns the list's digest. Of assets that were taken from the registry
// the list is there.
func (r *run) attachFiles(ctx context.Context, to *attach.Batch, u *unit) (v1.Hash, error) {
	if u.files == nil {
		if err := layer.Hash(ctx, u.tree.Files(), r.Workers); err != nil {
			return v1.Hash{}, err
		}
		list, err := evidence.NewFileList(sbom.Files(u.tree))
		if err != nil {
			return v1.Hash{}, err
		}
		u.files = list
	}
	from, err := r.Open(u.phase.Repository)
	if err != nil {
		return v1.Hash{}, err
	}
	return u.files.Digest, putFiles(ctx, to, u.files, from)
}

// putFiles mounts what the assets' own repository has.
func putFiles(ctx context.Context, to *attach.Batch, list *evidence.FileList, from builder.Repository) error {
	if from.Name() == to.Repository.Name() {
		return list.Put(ctx, to)
	}
	return list.Put(ctx, to, from.Name())
}

// materials are what units were made of.
func materials(units []*unit) []builder.Material {
	var out []builder.Material
	for _, u := range units {
		for _, s := range u.sources {
			if m, ok := s.resolved.(interface{ Materials() []builder.Material }); ok {
				out = append(out, m.Materials()...)
				continue
			}
			out = append(out, pinMaterials(s.resolved.Pins())...)
		}
	}
	return out
}

func pinMaterials(pins []builder.Pin) []builder.Material {
	var out []builder.Material
	for _, p := range pins {
		out = append(out, builder.Material{Name: p.Name, Digest: p.Digest})
	}
	return out
}

func (r *run) attachProvenance(ctx context.Context, to *attach.Batch, index compose.Index, materials []builder.Material, phases ...builder.Phase) error {
	b := provenance.Build{
		Pipeline: r.req.Recipe.Pipeline, PipelineDigest: r.req.Recipe.Digest, Version: r.req.Recipe.Version,
		Inputs: map[builder.Phase]v1.Hash{}, Materials: materials,
	}
	for _, p := range r.req.Platforms {
		b.Platforms = append(b.Platforms, p.String())
	}
	for _, phase := range phases {
		b.Inputs[phase] = r.inputOf(phase)
	}
	predicate, err := b.Predicate()
	if err != nil {
		return err
	}
	statement, err := provenance.NewStatement(r.subjects(index), provenance.PredicateType, predicate)
	if err != nil {
		return err
	}
	return evidence.PutProvenance(ctx, to, statement)
}

// inputOf is a phase's input over all platforms.
func (r *run) inputOf(phase builder.Phase) v1.Hash {
	if input, ok := r.taken[phase]; ok {
		return input
	}
	return compose.PhaseDigest(inputsOf(r.units, phase))
}

// subjects are an index and the manifests that it lists.
func (r *run) subjects(index compose.Index) []provenance.Subject {
	out := []provenance.Subject{provenance.NewSubject(r.req.Recipe.Pipeline, index.Descriptor.Digest)}
	for _, img := range index.Images {
		out = append(out, provenance.NewSubject(r.req.Recipe.Pipeline+" "+img.Platform.String(), img.ManifestDescriptor.Digest))
	}
	return out
}

// attachEvidence stores what there is to say of a server image whose phases the run made.
func (r *run) attachEvidence(index compose.Index) attachment {
	return func(ctx context.Context, to *attach.Batch) error {
		phases := map[string][]sbom.Phase{}
		var files v1.Hash
		for _, u := range r.units {
			if u.phase.Name == builder.Assets {
				var err error
				if files, err = r.attachFiles(ctx, to, u); err != nil {
					return err
				}
			}
			if err := u.describe(ctx, phases, files); err != nil {
				return err
			}
		}
		if err := r.attachSBOMs(ctx, to.Repository, index, phases); err != nil {
			return err
		}
		return r.attachProvenance(ctx, to, index, pinMaterials(r.pins), phasesOf(r.units)...)
	}
}

// describe adds what the unit has to say of each of its platforms.
func (u *unit) describe(ctx context.Context, phases map[string][]sbom.Phase, files v1.Hash) error {
	found, err := u.look(ctx)
	if err != nil {
		return err
	}
	input, err := u.inputDigest()
	if err != nil {
		return err
	}
	p := sbom.Phase{Name: u.phase.Name, Input: input, Findings: found}
	if u.phase.Name == builder.Assets {
		p.Files = files
	}
	for _, platform := range u.platforms {
		phases[platform.String()] = append(phases[platform.String()], p)
	}
	return nil
}

func (r *run) attachSBOMs(ctx context.Context, repo builder.Repository, index compose.Index, phases map[string][]sbom.Phase) error {
	for _, img := range index.Images {
		subject := sbom.Subject{
			Name: r.req.Recipe.Pipeline, Manifest: img.ManifestDescriptor.Digest, Platform: img.Platform, Created: r.req.created(),
		}
		doc, err := sbom.Document(subject, tool+r.req.Recipe.Version, phases[img.Platform.String()])
		if err != nil {
			return err
		}
		to := &attach.Batch{Repository: repo, Subject: img.ManifestDescriptor}
		if err := evidence.PutSBOM(ctx, to, doc); err != nil {
			return err
		}
		if err := to.Done(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tool is what documents call the builder, in front of its version.
const tool = "pitcrew-builder-"

// adoptEvidence takes over what is attached to an image of the unit's phase; an error says that something is missing.
func (u *unit) adoptEvidence(ctx context.Context, repo builder.Reader, image v1.Hash) error {
	all, err := readFindings(ctx, repo, image)
	if err != nil {
		return err
	}
	found, ok := all[u.platforms[0].String()]
	if !ok {
		return fmt.Errorf("what its files say is not known for %s", u.platforms[0])
	}
	if u.phase.Name == builder.Assets {
		if u.files, err = evidence.ReadFileList(ctx, repo, image); err != nil {
			return err
		}
	}
	u.findings, u.looked = found, true
	return nil
}
