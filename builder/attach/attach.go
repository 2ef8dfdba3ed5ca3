// Package attach keeps artifacts beside images: what a lock, a bill of materials or a signature says of an image is a
// manifest whose subject is the image's (OCI distribution spec, "Listing Referrers", with its fallback by tag for registries
// without that API, and for layouts).
package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Part is one blob of an artifact.
type Part struct {
	MediaType   string
	Content     []byte
	Annotations map[string]string
}

// emptyJSON is the config of an artifact that has none. Its media type is the artifact's: registries that do not know
// artifactType yet list that.
const emptyJSON = "{}"

// Bounds on what a registry may make us read.
const (
	maxPart  = 64 << 20
	maxParts = 64
)

// manifest is an image manifest that says what kind of artifact it is.
type manifest struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	ArtifactType  string          `json:"artifactType"`
	Config        v1.Descriptor   `json:"config"`
	Layers        []v1.Descriptor `json:"layers"`
	Subject       *v1.Descriptor  `json:"subject"`
}

// referrers is the list of what refers to an image.
type referrers struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	Manifests     []v1.Descriptor `json:"manifests"`
}

// lister is a repository whose registry may list referrers itself.
type lister interface {
	// Referrers returns the list as an index; ok is false if the registry does not know the API.
	Referrers(ctx context.Context, subject v1.Hash) (raw []byte, ok bool, err error)
}

// Batch attaches several artifacts to one image. It is used by one goroutine.
type Batch struct {
	Repository builder.Repository
	// Subject is the image's descriptor.
	Subject v1.Descriptor
	added   []v1.Descriptor
}

// Put stores an artifact beside the batch's image, which is there. Parts that are there, or can be mounted from one of the
// repositories named from, are not sent. Where lists are kept by tag, nobody finds the artifact before Done.
func (b *Batch) Put(ctx context.Context, artifactType string, parts []Part, from ...string) (v1.Descriptor, error) {
	m := manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: artifactType,
		Subject: &v1.Descriptor{MediaType: b.Subject.MediaType, Digest: b.Subject.Digest, Size: b.Subject.Size},
	}
	for _, p := range append([]Part{{MediaType: artifactType, Content: []byte(emptyJSON)}}, parts...) {
		d, err := putPart(ctx, b.Repository, p, from)
		if err != nil {
			return d, err
		}
		m.Layers = append(m.Layers, d)
	}
	m.Config, m.Layers = m.Layers[0], m.Layers[1:]
	raw, err := json.Marshal(m)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d, err := b.Repository.PutManifest(ctx, string(m.MediaType), raw)
	if err != nil {
		return d, err
	}
	d = v1.Descriptor{MediaType: m.MediaType, Digest: d.Digest, Size: int64(len(raw)), ArtifactType: artifactType}
	b.added = append(b.added, d)
	return d, nil
}

// Done makes the artifacts known, unless the registry does that itself: in the list that is kept by tag they replace
// artifacts of the same types.
func (b *Batch) Done(ctx context.Context) error {
	if len(b.added) == 0 {
		return nil
	}
	return enlist(ctx, b.Repository, b.Subject.Digest, b.added, func(have v1.Descriptor) bool {
		return slices.ContainsFunc(b.added, func(d v1.Descriptor) bool { return d.ArtifactType == have.ArtifactType })
	})
}

// Put attaches one artifact.
func Put(ctx context.Context, repo builder.Repository, subject v1.Descriptor, artifactType string, parts []Part) (v1.Descriptor, error) {
	b := Batch{Repository: repo, Subject: subject}
	d, err := b.Put(ctx, artifactType, parts)
	if err != nil {
		return d, err
	}
	return d, b.Done(ctx)
}

func putPart(ctx context.Context, repo builder.Repository, p Part, from []string) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(p.Content))
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: types.MediaType(p.MediaType), Digest: digest, Size: size}
	_, err = repo.PutBlob(ctx, builder.Bytes{Desc: d, Content: p.Content}, from...)
	d.Annotations = p.Annotations
	return d, err
}

// FallbackTag is where the list of what refers to an image is kept if the registry does not keep one.
func FallbackTag(subject v1.Hash) string { return subject.Algorithm + "-" + subject.Hex }

// AttestationTag is where cosign keeps the attestations of an image.
func AttestationTag(subject v1.Hash) string { return FallbackTag(subject) + ".att" }

// cosignTags are the tags that cosign names for an image: attestations, signatures, bills of materials.
func cosignTags(subject v1.Hash) []string {
	return []string{AttestationTag(subject), FallbackTag(subject) + ".sig", FallbackTag(subject) + ".sbom"}
}

// Tags are all tags that belong to an image and are named for it.
func Tags(subject v1.Hash) []string { return append(cosignTags(subject), FallbackTag(subject)) }

// enlist adds artifacts to the list by tag, in the place of those that they replace, unless the registry keeps the list. Of
// two processes that do so at the same time one may be lost, as the spec says of the tag.
func enlist(ctx context.Context, repo builder.Repository, subject v1.Hash, added []v1.Descriptor, replaces func(v1.Descriptor) bool) error {
	if l, ok := repo.(lister); ok {
		if _, own, err := l.Referrers(ctx, subject); own || err != nil {
			return err
		}
	}
	have, err := byTag(ctx, repo, subject)
	if err != nil {
		return err
	}
	have = slices.DeleteFunc(have, replaces)
	raw, err := json.Marshal(referrers{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: append(have, added...)})
	if err != nil {
		return err
	}
	list, err := repo.PutManifest(ctx, string(types.OCIImageIndex), raw)
	if err != nil {
		return err
	}
	list.MediaType, list.Size = types.OCIImageIndex, int64(len(raw))
	return repo.Tag(ctx, FallbackTag(subject), list, raw)
}

func byTag(ctx context.Context, repo builder.Reader, subject v1.Hash) ([]v1.Descriptor, error) {
	_, raw, err := repo.Manifest(ctx, FallbackTag(subject))
	if errors.Is(err, builder.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decode(raw)
}

func decode(raw []byte) ([]v1.Descriptor, error) {
	var list referrers
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, builder.Errorf(builder.Input, "", "the list of referrers is not valid JSON: %w", err)
	}
	return list.Manifests, nil
}

// List returns the artifacts of a type beside an image, the newest last as far as the registry keeps the order.
func List(ctx context.Context, repo builder.Reader, subject v1.Hash, artifactType string) ([]v1.Descriptor, error) {
	all, err := list(ctx, repo, subject)
	if err != nil {
		return nil, fmt.Errorf("list what is attached to %s: %w", subject, err)
	}
	return slices.DeleteFunc(all, func(d v1.Descriptor) bool { return d.ArtifactType != artifactType }), nil
}

func list(ctx context.Context, repo builder.Reader, subject v1.Hash) ([]v1.Descriptor, error) {
	if l, ok := repo.(lister); ok {
		if raw, own, err := l.Referrers(ctx, subject); err != nil {
			return nil, err
		} else if own {
			return decode(raw)
		}
	}
	return byTag(ctx, repo, subject)
}

// All returns what is attached to an image, of every type.
func All(ctx context.Context, repo builder.Reader, subject v1.Hash) ([]v1.Descriptor, error) {
	return list(ctx, repo, subject)
}

// Read returns an artifact's parts, which are held in memory: at most 64 MiB each.
func Read(ctx context.Context, repo builder.Reader, artifact v1.Hash) ([]Part, error) {
	_, raw, err := repo.Manifest(ctx, artifact.String())
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, builder.Errorf(builder.Input, "", "manifest %s is not valid JSON: %w", artifact, err)
	}
	if len(m.Layers) > maxParts {
		return nil, builder.Errorf(builder.Input, "", "manifest %s has %d parts", artifact, len(m.Layers))
	}
	var parts []Part
	for _, d := range m.Layers {
		content, err := readPart(ctx, repo, d)
		if err != nil {
			return nil, fmt.Errorf("part %s of artifact %s: %w", d.Digest, artifact, err)
		}
		parts = append(parts, Part{string(d.MediaType), content, d.Annotations})
	}
	return parts, nil
}

func readPart(ctx context.Context, repo builder.Reader, d v1.Descriptor) (raw []byte, err error) {
	if d.Size > maxPart {
		return nil, builder.Errorf(builder.Input, "", "it has %d bytes, more than %d", d.Size, maxPart)
	}
	body, err := repo.OpenBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return io.ReadAll(io.LimitReader(body, maxPart+1))
}

// Copy takes everything that is attached to an image to another repository, in which the image is, and returns how many
// artifacts these are. What is attached to an artifact comes along too.
func Copy(ctx context.Context, from builder.Reader, to builder.Repository, subject v1.Hash) (int, error) {
	return copyTree(ctx, from, to, subject, maxDepth)
}

// maxDepth bounds how deep artifacts may be attached to artifacts: a signature of a bill of materials is 2.
const maxDepth = 4

func copyTree(ctx context.Context, from builder.Reader, to builder.Repository, subject v1.Hash, depth int) (int, error) {
	all, err := list(ctx, from, subject)
	if err != nil {
		return 0, err
	}
	if depth == 0 && len(all) > 0 {
		return 0, builder.Errorf(builder.Input, "", "artifacts are attached to artifacts more than %d deep", maxDepth)
	}
	n := 0
	for _, d := range all {
		if err := copyArtifact(ctx, from, to, subject, d); err != nil {
			return n, fmt.Errorf("copy artifact %s: %w", d.Digest, err)
		}
		more, err := copyTree(ctx, from, to, d.Digest, depth-1)
		if n += 1 + more; err != nil {
			return n, err
		}
	}
	if depth == maxDepth {
		return n, copyTags(ctx, from, to, subject)
	}
	return n, nil
}

// copyTags takes along what cosign keeps by tag, whether or not it says what it refers to.
func copyTags(ctx context.Context, from builder.Reader, to builder.Repository, subject v1.Hash) error {
	for _, tag := range cosignTags(subject) {
		d, raw, err := from.Manifest(ctx, tag)
		if errors.Is(err, builder.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := copyManifest(ctx, from, to, d, raw); err != nil {
			return fmt.Errorf("copy %s: %w", tag, err)
		}
		if err := to.Tag(ctx, tag, d, raw); err != nil {
			return err
		}
	}
	return nil
}

func copyArtifact(ctx context.Context, from builder.Reader, to builder.Repository, subject v1.Hash, d v1.Descriptor) error {
	have, raw, err := from.Manifest(ctx, d.Digest.String())
	if err != nil {
		return err
	}
	if err := copyManifest(ctx, from, to, have, raw); err != nil {
		return err
	}
	d.MediaType, d.Size = have.MediaType, have.Size
	return enlist(ctx, to, subject, []v1.Descriptor{d}, func(h v1.Descriptor) bool { return h.Digest == d.Digest })
}

// copyManifest copies a manifest and the blobs that it lists.
func copyManifest(ctx context.Context, from builder.Reader, to builder.Repository, d v1.Descriptor, raw []byte) error {
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return builder.Errorf(builder.Input, "", "it is not valid JSON: %w", err)
	}
	for _, part := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if _, err := to.PutBlob(ctx, builder.Copied{From: from, Desc: part}); err != nil {
			return err
		}
	}
	_, err := to.PutManifest(ctx, string(d.MediaType), raw)
	return err
}
