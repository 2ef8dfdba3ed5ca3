// Package prune finds phase images that no recent server image is made of, and deletes them with what hangs on them.
package prune

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/internal/natural"
)

// Repository is what pruning needs of a repository.
type Repository interface {
	builder.Reader
	Name() string
	// Tags lists all tags, in any order.
	Tags(ctx context.Context) ([]string, error)
	// Delete removes a tag or, by its digest, a manifest with all its tags. What is not there is no error.
	Delete(ctx context.Context, reference string) error
}

// Item is something to delete.
type Item struct {
	Repository string   `json:"repository"`
	Digest     string   `json:"digest"`
	Tags       []string `json:"tags"`
	// Kind is "phase image", "manifest" (of one platform of a phase image) or "attached".
	Kind string `json:"kind"`
}

// Plan is what there is to do: `builder prune --output json`.
type Plan struct {
	// Kept are the tags of the server images that count, newest first.
	Kept []string `json:"kept"`
	// Delete is in an order that leaves nothing hanging: tags and indexes before what they refer to.
	Delete []Item `json:"delete"`
	// Deleted is true once it was done.
	Deleted bool `json:"deleted"`
}

var (
	phaseTag    = regexp.MustCompile(`^(assets|base|code|server)-(src-)?[0-9a-f]{32}$`)
	referrerTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.[a-z]+)?$`)
)

// New plans what to delete: the phase images in repositories that none of the keep newest server images in server is made
// of. Newer is what has the later creation time, and of equal ones the tag that sorts behind, numbers as numbers. Nothing that
// a remaining index lists is ever in the plan. Server images are not deleted.
func New(ctx context.Context, server Repository, repositories []Repository, keep int) (*Plan, error) {
	p := &pruner{plan: Plan{Delete: []Item{}}, used: map[string]bool{}}
	if err := p.servers(ctx, server, keep); err != nil {
		return nil, err
	}
	for _, r := range repositories {
		if err := p.repository(ctx, r); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name(), err)
		}
	}
	return &p.plan, nil
}

// Execute deletes what is in the plan. A second call after a failure goes on.
func (p *Plan) Execute(ctx context.Context, repositories []Repository) error {
	byName := map[string]Repository{}
	for _, r := range repositories {
		byName[r.Name()] = r
	}
	for _, i := range p.Delete {
		for _, reference := range append(slices.Clone(i.Tags), i.Digest) {
			if err := byName[i.Repository].Delete(ctx, reference); err != nil {
				return fmt.Errorf("delete %s from %s: %w", reference, i.Repository, err)
			}
		}
	}
	p.Deleted = true
	return nil
}

type pruner struct {
	plan Plan
	used map[string]bool // tags of phase images
}

type serverImage struct {
	tag     string
	created time.Time
	image   *inspect.Image
}

// servers finds the images that count, and the tags of the phase images that they are made of.
func (p *pruner) servers(ctx context.Context, server Repository, keep int) error {
	tags, err := server.Tags(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", server.Name(), err)
	}
	var all []serverImage
	for _, tag := range tags {
		if phaseTag.MatchString(tag) || referrerTag.MatchString(tag) {
			continue
		}
		img, err := inspect.Load(ctx, server, tag)
		if err != nil {
			return fmt.Errorf("%s:%s: %w", server.Name(), tag, err)
		}
		s := serverImage{tag: tag, image: img}
		if s.created, err = time.Parse(time.RFC3339, img.Annotations["org.opencontainers.image.created"]); err != nil {
			s.created = time.Time{} // not ours; it still keeps what it is made of
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return builder.Errorf(builder.Input, "name the repository that the server images are in: without any, every phase image would be deleted", "%s has no server image", server.Name())
	}
	slices.SortFunc(all, func(a, b serverImage) int { return cmp.Or(b.created.Compare(a.created), natural.Compare(b.tag, a.tag)) })
	for _, s := range all[:min(len(all), keep)] {
		p.plan.Kept = append(p.plan.Kept, s.tag)
		p.use(s.image)
	}
	return nil
}

func (p *pruner) use(img *inspect.Image) {
	for _, phase := range builder.Phases() {
		name := builder.AnnotationInputPrefix + string(phase)
		if whole, err := v1.NewHash(img.Annotations[name]); err == nil {
			p.used[compose.PhaseTag(phase, whole)] = true
		}
		for _, platform := range img.Platforms {
			if own, err := v1.NewHash(platform.Annotations[name]); err == nil {
				p.used[compose.PhaseTag(phase, compose.PhaseDigest(map[string]v1.Hash{platform.Platform.String(): own}))] = true
			}
		}
	}
}

// repository plans for one repository of phase images, which may hold server images too.
func (p *pruner) repository(ctx context.Context, r Repository) error {
	tags, err := r.Tags(ctx)
	if err != nil {
		return err
	}
	slices.Sort(tags)
	tagsOf := map[v1.Hash][]string{}
	for _, tag := range tags {
		if referrerTag.MatchString(tag) {
			continue
		}
		d, err := r.Head(ctx, tag)
		if errors.Is(err, builder.ErrNotFound) {
			continue // somebody else deletes
		}
		if err != nil {
			return err
		}
		tagsOf[d.Digest] = append(tagsOf[d.Digest], tag)
	}
	var doomed, staying []v1.Hash
	for _, digest := range slices.SortedFunc(maps.Keys(tagsOf), func(a, b v1.Hash) int { return strings.Compare(a.Hex, b.Hex) }) {
		unused := func(tag string) bool { return phaseTag.MatchString(tag) && !p.used[tag] }
		if slices.ContainsFunc(tagsOf[digest], func(tag string) bool { return !unused(tag) }) {
			staying = append(staying, digest)
		} else {
			doomed = append(doomed, digest)
		}
	}
	return p.doom(ctx, r, doomed, staying, tagsOf)
}

// doom enters indexes, then the manifests that only they list, then what is attached to either.
func (p *pruner) doom(ctx context.Context, r Repository, doomed, staying []v1.Hash, tagsOf map[v1.Hash][]string) error {
	keep := map[v1.Hash]bool{}
	for _, digest := range staying {
		below, err := children(ctx, r, digest)
		if err != nil {
			return err
		}
		keep[digest] = true
		for _, c := range below {
			keep[c] = true
		}
	}
	var attached []Item
	seen := map[v1.Hash]bool{}
	for _, digest := range doomed {
		below, err := children(ctx, r, digest)
		if err != nil {
			return err
		}
		p.plan.Delete = append(p.plan.Delete, Item{r.Name(), digest.String(), tagsOf[digest], "phase image"})
		for _, c := range append([]v1.Hash{digest}, below...) {
			if keep[c] || seen[c] {
				continue
			}
			seen[c] = true
			if c != digest {
				p.plan.Delete = append(p.plan.Delete, Item{r.Name(), c.String(), []string{}, "manifest"})
			}
			items, err := p.attachedTo(ctx, r, c)
			if err != nil {
				return err
			}
			attached = append(attached, items...)
		}
	}
	p.plan.Delete = append(p.plan.Delete, attached...)
	return nil
}

func (p *pruner) attachedTo(ctx context.Context, r Repository, subject v1.Hash) ([]Item, error) {
	all, err := attach.All(ctx, r, subject)
	if err != nil {
		return nil, err
	}
	var out []Item
	slices.SortFunc(all, func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	for _, d := range all {
		out = append(out, Item{r.Name(), d.Digest.String(), []string{}, "attached"})
	}
	for _, tag := range attach.Tags(subject) {
		d, err := r.Head(ctx, tag)
		if errors.Is(err, builder.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Item{r.Name(), d.Digest.String(), []string{tag}, "attached"})
	}
	return out, nil
}

// children are what an index lists.
func children(ctx context.Context, r builder.Reader, digest v1.Hash) ([]v1.Hash, error) {
	_, raw, err := r.Manifest(ctx, digest.String())
	if err != nil {
		return nil, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, builder.Errorf(builder.Input, "", "manifest %s is not valid JSON: %w", digest, err)
	}
	var out []v1.Hash
	for _, m := range index.Manifests {
		out = append(out, m.Digest)
	}
	return out, nil
}
