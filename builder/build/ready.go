package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/attach"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/split"
)

// The registry is the cache of phases whose sources would have to be fetched: an image that was made of the same sources, in
// the same way, is taken as it is. Its paths are attached to it, so that what other phases write can be compared with them
// although nobody has its files.

// The paths of a phase image as an artifact beside it.
const (
	pathsArtifact = "application/vnd.dev.pitcrew.paths.v1"
	pathsPart     = "application/vnd.dev.pitcrew.paths.v1+json+zstd"
	maxPaths      = 512 << 20 // bytes of JSON
)

// pathLine is an entry without its content. The path is base64 in JSON: it need not be UTF-8.
type pathLine struct {
	Path []byte       `json:"p"`
	Type builder.Type `json:"t"`
	Mode uint32       `json:"m"`
	UID  int          `json:"u,omitempty"`
	GID  int          `json:"g,omitempty"`
}

// remote is a source that may have to fetch its content.
type remote interface{ Remote() bool }

// found is a source that was resolved for a unit's platform.
type found struct {
	Source
	resolved builder.Resolved
}

// sourcesTag is the tag of a phase image by what it was made of.
func sourcesTag(phase builder.Phase, digest v1.Hash) string {
	return string(phase) + "-src-" + digest.Hex[:32]
}

// takeReady takes the unit from the registry, if something would have to be fetched to make it and an image is there.
func (r *run) takeReady(ctx context.Context, u *unit) error {
	fetches := slices.ContainsFunc(u.sources, func(f found) bool {
		_, made := f.resolved.(portable) // what was made here may have other bytes than what was published
		return made && r.composing || f.resolved.Pending() != 0
	})
	if !fetches || u.sourceDigest == (v1.Hash{}) || r.req.remake || r.req.Compact && u.phase.Name == builder.Assets {
		return nil
	}
	repo, err := r.Open(u.phase.Repository)
	if err != nil {
		return err
	}
	img, err := inspect.Load(ctx, repo, sourcesTag(u.phase.Name, u.sourceDigest))
	if errors.Is(err, builder.ErrNotFound) && (r.composing || u.possible() != nil) && u.portable != u.sourceDigest {
		img, err = inspect.Load(ctx, repo, sourcesTag(u.phase.Name, u.portable))
	}
	if errors.Is(err, builder.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an image of phase %s: %w", u.phase.Name, err)
	}
	tree, err := readPaths(ctx, repo, img.Descriptor.Digest, u.platforms[0])
	if err != nil {
		r.Log.Warn("an image of the same sources is there, but its list of paths cannot be read", "phase", u.name(), "err", err)
		return nil
	}
	if err := u.adoptEvidence(ctx, repo, img.Descriptor.Digest); err != nil {
		r.Log.Warn("an image of the same sources is there, but what is in it is not known", "phase", u.name(), "err", err)
		u.unfounded = true
		return nil
	}
	return r.adopt(u, img, tree)
}

// adopt makes the image's layers the unit's, unless they are not those of the lock.
func (r *run) adopt(u *unit, img *inspect.Image, tree builder.Tree) error {
	for _, p := range img.Platforms {
		part, ok := p.Part(u.phase.Name)
		if !ok || !p.Platform.Equals(u.platforms[0]) {
			continue
		}
		var layers []*layer.Layer
		var plan split.Result
		for i, l := range p.Layers {
			key, ok := l.Key()
			if !ok || u.phase.Name == builder.Assets && !r.locked(i, len(p.Layers), l.Descriptor.Digest) {
				return nil
			}
			layers = append(layers, layer.Existing(bare(l.Descriptor), l.DiffID, key, layer.Codec{}))
			plan.Layers = append(plan.Layers, split.Layer{ID: i, Kind: l.Descriptor.Annotations[builder.AnnotationLayerKind]})
		}
		u.ready, u.layers, u.plan, u.tree, u.config, u.input = true, layers, plan, tree, part.Config, part.InputDigest
		r.Log.Info("taken from the registry", "phase", u.name(), "image", img.Descriptor.Digest.String())
		return nil
	}
	return nil
}

// locked reports whether the lock has this asset layer, among so many.
func (r *run) locked(i, n int, digest v1.Hash) bool {
	return r.req.Lock != nil && len(r.req.Lock.Layers) == n && r.req.Lock.Layers[i].Digest == digest
}

// attachPaths stores the paths of a phase's units beside its image.
func (r *run) attachPaths(phase builder.Phase) attachment {
	return func(ctx context.Context, to *attach.Batch) error {
		lists := map[string][]pathLine{}
		for _, u := range r.units {
			if u.phase.Name != phase || u.sourceDigest == (v1.Hash{}) {
				continue
			}
			lines := make([]pathLine, len(u.tree.Entries))
			for i, e := range u.tree.Entries {
				lines[i] = pathLine{[]byte(e.Path), e.Type, e.Mode, e.UID, e.GID}
			}
			lists[u.platforms[0].String()] = lines
		}
		if len(lists) == 0 {
			return nil
		}
		raw, err := json.Marshal(lists)
		if err != nil {
			return err
		}
		parts, err := attach.Pack(pathsPart, raw)
		if err != nil {
			return err
		}
		if _, err := to.Put(ctx, pathsArtifact, parts); err != nil {
			return fmt.Errorf("attach the list of paths: %w", err)
		}
		return nil
	}
}

func readPaths(ctx context.Context, repo builder.Reader, image v1.Hash, platform v1.Platform) (builder.Tree, error) {
	parts, err := attach.ReadPacked(ctx, repo, image, pathsArtifact, maxPaths)
	if err != nil {
		return builder.Tree{}, err
	}
	var lists map[string][]pathLine
	for _, raw := range parts { // one
		if err := json.Unmarshal(raw, &lists); err != nil {
			return builder.Tree{}, err
		}
	}
	lines, ok := lists[platform.String()]
	if !ok {
		return builder.Tree{}, fmt.Errorf("it has none for %s", platform)
	}
	tree := builder.Tree{Entries: make([]builder.Entry, len(lines))}
	for i, l := range lines {
		tree.Entries[i] = builder.Entry{Path: string(l.Path), Type: l.Type, Mode: l.Mode, UID: l.UID, GID: l.GID}
	}
	return tree, nil
}
