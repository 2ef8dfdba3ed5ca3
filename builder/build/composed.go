package build

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/evidence"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

// namedImage is a phase's image that was named, with its repository.
type namedImage struct {
	repository string
	image      *inspect.Image
}

func namedKey(phase builder.Phase, platform v1.Platform) string {
	return string(phase) + " " + platform.String()
}

// attachEvidence stores what there is to say of a composed image: of phases that were named, what is beside their images.
func (c *composer) attachEvidence(index compose.Index, parts map[string][]compose.Part) attachment {
	return func(ctx context.Context, to *attach.Batch) error {
		files, err := c.attachFilesOf(ctx, to)
		if err != nil {
			return err
		}
		phases := map[string][]sbom.Phase{}
		for _, img := range index.Images {
			for _, part := range parts[img.Platform.String()] {
				p, err := c.describe(ctx, part, img.Platform)
				if err != nil {
					return err
				}
				if part.Phase == builder.Assets {
					p.Files = files
				}
				phases[img.Platform.String()] = append(phases[img.Platform.String()], p)
			}
		}
		if err := c.attachSBOMs(ctx, to.Repository, index, phases); err != nil {
			return err
		}
		var names []builder.Phase
		for _, phase := range builder.Phases() {
			if _, ok := c.taken[phase]; ok {
				names = append(names, phase)
			}
		}
		return c.attachProvenance(ctx, to, index, pinMaterials(c.pins), names...)
	}
}

// describe says what is known of a phase on a platform.
func (c *composer) describe(ctx context.Context, part compose.Part, platform v1.Platform) (sbom.Phase, error) {
	p := sbom.Phase{Name: part.Phase, Input: part.InputDigest}
	if named, ok := c.named[namedKey(part.Phase, platform)]; ok {
		repo, err := c.Open(named.repository)
		if err != nil {
			return p, err
		}
		all, err := readFindings(ctx, repo, named.image.Descriptor.Digest)
		if err != nil {
			return p, c.lacking(part.Phase, named, err)
		}
		p.Findings = all[platform.String()]
		return p, nil
	}
	for _, u := range c.units {
		if u.phase.Name == part.Phase && slices.ContainsFunc(u.platforms, platform.Equals) {
			found, err := u.look(ctx)
			p.Findings = found
			return p, err
		}
	}
	return p, fmt.Errorf("phase %s was not planned for %s", part.Phase, platform)
}

func (c *composer) lacking(phase builder.Phase, named namedImage, err error) error {
	return builder.Errorf(builder.KindOf(err), fmt.Sprintf("build it again with this builder: builder build --phase %s", phase),
		"phase %s: %s@%s: %w", phase, named.repository, named.image.Descriptor.Digest, err)
}

// attachFilesOf lists the assets' files beside the image; the zero Hash says that it has no assets.
func (c *composer) attachFilesOf(ctx context.Context, to *attach.Batch) (v1.Hash, error) {
	for _, u := range c.units {
		if u.phase.Name == builder.Assets {
			return c.attachFiles(ctx, to, u)
		}
	}
	for _, platform := range c.req.Platforms {
		named, ok := c.named[namedKey(builder.Assets, platform)]
		if !ok {
			continue
		}
		from, err := c.Open(named.repository)
		if err != nil {
			return v1.Hash{}, err
		}
		list, err := evidence.ReadFileList(ctx, from, named.image.Descriptor.Digest)
		if err != nil {
			return v1.Hash{}, c.lacking(builder.Assets, named, err)
		}
		return list.Digest, putFiles(ctx, to, list, from)
	}
	return v1.Hash{}, nil
}
