package build

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
)

// Compose makes the server image of phase images that exist already, each built by whoever owns it, perhaps one
// platform at a time. No layer is made and, where the registry mounts, none is moved. refs names images of phases; the
// others are found by the input digest of the sources as they are now. The result is what Build would give.
//
// A phase image that is missing is an Input error that says how to build it.
func (b *Builder) Compose(ctx context.Context, req Request, refs map[builder.Phase]string) (*Result, error) {
	r, err := b.prepare(ctx, withoutPhases(req, refs))
	if err != nil {
		return nil, err
	}
	for _, u := range r.units {
		if u.ready {
			continue
		}
		if err := layer.Hash(ctx, u.tree.Files(), r.Workers); err != nil {
			return nil, err
		}
		if _, err := u.inputDigest(); err != nil {
			return nil, err
		}
	}
	c := &composer{run: r, sources: map[v1.Hash]string{}, named: map[string]namedImage{}}
	parts := map[string][]compose.Part{}
	for _, phase := range req.Phases {
		for _, platform := range req.Platforms {
			part, err := c.part(ctx, phase, platform, refs[phase.Name])
			if err != nil {
				return nil, err
			}
			parts[platform.String()] = append(parts[platform.String()], part)
		}
	}
	var platforms []compose.Platform
	for _, p := range req.Platforms {
		platforms = append(platforms, compose.Platform{Platform: p, Parts: parts[p.String()]})
	}
	index, err := compose.Build(platforms, req.Image)
	if err != nil {
		return nil, err
	}
	if err := r.checkBudgets(ctx, index); err != nil {
		return nil, err
	}
	var assets []compose.Layer
	for _, part := range platforms[0].Parts {
		if part.Phase == builder.Assets {
			assets = part.Layers
		}
	}
	r.taken = inputsOfParts(platforms)
	return c.publish(ctx, index, c.attachLock(assets), c.attachEvidence(index, parts))
}

// inputsOfParts are the phases' input digests over all platforms.
func inputsOfParts(platforms []compose.Platform) map[builder.Phase]v1.Hash {
	inputs := map[builder.Phase]map[string]v1.Hash{}
	for _, p := range platforms {
		for _, part := range p.Parts {
			if inputs[part.Phase] == nil {
				inputs[part.Phase] = map[string]v1.Hash{}
			}
			inputs[part.Phase][p.Platform.String()] = part.InputDigest
		}
	}
	out := map[builder.Phase]v1.Hash{}
	for phase, byPlatform := range inputs {
		out[phase] = compose.PhaseDigest(byPlatform)
	}
	return out
}

func withoutPhases(req Request, refs map[builder.Phase]string) Request {
	var phases []Phase
	for _, p := range req.Phases {
		if refs[p.Name] == "" {
			phases = append(phases, p)
		}
	}
	req.Phases, req.composing = phases, true
	return req
}

// composer remembers which repository each layer is in.
type composer struct {
	*run
	sources map[v1.Hash]string
	images  map[string]*inspect.Image
	phases  []PhaseResult
	// named are the images of phases that were named, whose sources nobody looked at.
	named map[string]namedImage
}

// part reads one phase's part for one platform from its image.
func (c *composer) part(ctx context.Context, phase Phase, platform v1.Platform, ref string) (compose.Part, error) {
	repoName := phase.Repository
	candidates := []string{}
	if ref != "" {
		repoName, candidates = cutReference(ref)
	} else {
		inputs := inputsOf(c.units, phase.Name)
		own, ok := inputs[platform.String()]
		if !ok {
			return compose.Part{}, fmt.Errorf("phase %s was not planned for %s", phase.Name, platform)
		}
		candidates = append(candidates, compose.PhaseTag(phase.Name, compose.PhaseDigest(map[string]v1.Hash{platform.String(): own})))
	}
	for _, reference := range candidates {
		img, err := c.load(ctx, repoName, reference)
		if errors.Is(err, builder.ErrNotFound) {
			continue
		}
		if err != nil {
			return compose.Part{}, fmt.Errorf("phase %s: %w", phase.Name, err)
		}
		if part, ok := c.take(img, repoName, phase.Name, platform); ok {
			if ref != "" {
				c.named[namedKey(phase.Name, platform)] = namedImage{repoName, img}
			}
			return part, nil
		}
	}
	return compose.Part{}, builder.Errorf(builder.Input,
		fmt.Sprintf("builder build --phase %s --platform %s, with the same sources and registry", phase.Name, platform),
		"there is no image of phase %s for %s in %s (looked for %v)", phase.Name, platform, repoName, candidates)
}

func cutReference(ref string) (repo string, references []string) {
	if before, digest, ok := cutLast(ref, "@"); ok {
		return before, []string{digest}
	}
	before, tag, _ := cutLast(ref, ":")
	return before, []string{tag}
}

func (c *composer) load(ctx context.Context, repoName, reference string) (*inspect.Image, error) {
	key := repoName + " " + reference
	if img, ok := c.images[key]; ok {
		return img, nil
	}
	repo, err := c.Open(repoName)
	if err != nil {
		return nil, err
	}
	img, err := inspect.Load(ctx, repo, reference)
	if err != nil {
		return nil, err
	}
	if c.images == nil {
		c.images = map[string]*inspect.Image{}
	}
	c.images[key] = img
	return img, nil
}

func (c *composer) take(img *inspect.Image, repoName string, phase builder.Phase, platform v1.Platform) (compose.Part, bool) {
	for _, p := range img.Platforms {
		if !p.Platform.Equals(platform) {
			continue
		}
		part, ok := p.Part(phase)
		if !ok {
			continue
		}
		for _, l := range part.Layers {
			c.sources[l.Descriptor.Digest] = repoName
		}
		c.note(phase, part)
		return part, true
	}
	return compose.Part{}, false
}

func (c *composer) note(phase builder.Phase, part compose.Part) {
	for _, have := range c.phases {
		if have.Name == string(phase) {
			return
		}
	}
	c.phases = append(c.phases, PhaseResult{Name: string(phase), InputDigest: part.InputDigest.String(), Cached: true, Layers: len(part.Layers)})
}

// publish mounts the layers into the server image's repository, then publishes as Build does.
func (c *composer) publish(ctx context.Context, index compose.Index, attachments ...attachment) (*Result, error) {
	repo, err := c.Open(c.req.Repository)
	if err != nil {
		return nil, err
	}
	for digest, from := range c.sources {
		source, err := c.Open(from)
		if err != nil {
			return nil, err
		}
		put, err := repo.PutBlob(ctx, builder.Copied{From: source, Desc: descriptorOf(index, digest)}, from)
		if err != nil {
			return nil, fmt.Errorf("put layer %s into %s: %w", digest, repo.Name(), err)
		}
		c.sums.add(put)
	}
	if err := c.run.publish(ctx, repo, index, c.req.Tags, attachments...); err != nil {
		return nil, fmt.Errorf("publish %s: %w", repo.Name(), err)
	}
	return &Result{
		Ref: repo.Name() + "@" + index.Descriptor.Digest.String(), Digest: index.Descriptor.Digest.String(), Index: &index, Phases: c.phases,
		PushedBytes: c.sums.pushed, MountedBytes: c.sums.mounted, ReusedBytes: c.sums.reused,
	}, nil
}

func descriptorOf(index compose.Index, digest v1.Hash) v1.Descriptor {
	for _, img := range index.Images {
		for _, l := range img.Layers {
			if l.Descriptor.Digest == digest {
				return bare(l.Descriptor)
			}
		}
	}
	return v1.Descriptor{}
}
