package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/evidence"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/merge"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
	"github.com/pitcrew-dev/pitcrew/builder/split"
)

// unit is one phase on one platform, or, for assets, on all of them at once.
type unit struct {
	phase     Phase
	platforms []v1.Platform
	sources   []found
	pins      []builder.Pin
	// sourceDigest is of the sources' input digests, where that can spare a download.
	sourceDigest v1.Hash
	// portable is sourceDigest without what differs between machines that make the same, such as a compiler's version.
	portable v1.Hash
	// ready is set for a unit that was taken from the registry: its tree has paths only.
	ready bool
	tree  builder.Tree
	// whole is the tree that tree is a part of by its profile; nil if there are no profiles.
	whole  *builder.Tree
	config v1.Config
	plan   split.Result
	layers []*layer.Layer
	// made is set when a layer of the unit had to be packed.
	made bool
	// findings are what the files say of packages and programs, once looked is set.
	findings []sbom.Finding
	looked   bool
	// files is the list of the assets' files, once it is made.
	files *evidence.FileList
	// unfounded is set when an image of the same sources lacked what is to be attached to it.
	unfounded bool
	// input is known once every file of the tree is hashed.
	input v1.Hash
}

func plannedUnits(req Request) []*unit {
	var out []*unit
	for _, p := range req.Phases {
		if len(req.Only) > 0 && !slices.Contains(req.Only, p.Name) {
			continue
		}
		if p.Name == builder.Assets {
			out = append(out, &unit{phase: p, platforms: req.AllPlatforms})
			continue
		}
		for _, platform := range req.Platforms {
			out = append(out, &unit{phase: p, platforms: []v1.Platform{platform}})
		}
	}
	return out
}

func (u *unit) name() string {
	if u.phase.Name == builder.Assets {
		return string(u.phase.Name)
	}
	return fmt.Sprintf("%s %s", u.phase.Name, u.platforms[0])
}

// readTree merges what the unit's sources hold into one tree.
func (r *run) readTree(ctx context.Context, u *unit) error {
	var parts []merge.Part
	u.config = v1.Config{}
	for _, s := range u.sources {
		if pending := s.resolved.Pending(); pending > 0 {
			r.fetched += pending
			r.Log.Info("fetching", "source", s.Origin, "platform", u.platforms[0].String(), "bytes", pending)
		}
		tree, err := s.resolved.Tree(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Origin, err)
		}
		if c, ok := s.resolved.(interface{ Config() *v1.ConfigFile }); ok && c.Config() != nil {
			u.config = compose.Merge(u.config, c.Config().Config)
		}
		parts = append(parts, merge.Part{
			Tree: tree, Include: s.Include, Exclude: s.Exclude, Destination: s.Destination,
			UID: s.UID, GID: s.GID, Origin: s.Origin,
		})
	}
	u.config = compose.Merge(u.config, u.phase.Config)
	var err error
	if u.tree, err = merge.Build(parts); err != nil || len(u.phase.Profiles) == 0 {
		return err
	}
	whole := u.tree
	u.whole = &whole
	if u.phase.Profile != nil {
		u.tree = u.phase.Profile.Apply(whole)
	}
	return nil
}

// collisions holds that no phase silently overwrites another: checked for every platform.
func (r *run) collisions() error {
	for _, platform := range r.req.Platforms {
		var lower []merge.PhaseTree
		for _, u := range r.units {
			if !slices.ContainsFunc(u.platforms, platform.Equals) {
				continue
			}
			tree := merge.PhaseTree{Phase: u.phase.Name, Tree: u.tree}
			if err := merge.Collisions(lower, tree, u.phase.Replaces); err != nil {
				return err
			}
			lower = append(lower, tree)
		}
	}
	return nil
}

// planLayers cuts the tree and looks every layer up by its key. On a first build the assets are not read for that:
// nothing could be found, and packing reads them anyway.
func (r *run) planLayers(ctx context.Context, u *unit) error {
	first, err := r.known.nothing(ctx)
	if err != nil {
		return err
	}
	skipKeys := first && u.phase.Name == builder.Assets
	if !skipKeys {
		if err := layer.Hash(ctx, u.tree.Files(), r.Workers); err != nil {
			return err
		}
	}
	if err := u.split(ctx, r.req, r.others(u), r.lost); err != nil {
		return err
	}
	if skipKeys {
		return nil
	}
	for _, l := range u.layers {
		if _, known := l.Descriptor(); known {
			continue
		}
		key, err := l.Key()
		if err != nil {
			return err
		}
		have, ok, err := r.known.layer(ctx, key)
		if err != nil {
			return err
		}
		if ok {
			l.SetKnown(bare(have.Descriptor), have.DiffID)
		}
	}
	return nil
}

// others are the paths that the other phases put into the image, on any platform, and whether each is a folder.
func (r *run) others(u *unit) map[string]bool {
	if u.phase.Name != builder.Assets || r.req.Lock == nil {
		return nil
	}
	out := map[string]bool{}
	for _, other := range r.units {
		if other == u {
			continue
		}
		for _, e := range other.tree.Entries {
			out[e.Path] = e.Type == builder.Dir
		}
	}
	return out
}

// shareEqualLayers lets units whose layers are made of the same files (a server phase that is the same on every
// platform) use one layer, so that it is packed and sent once.
func shareEqualLayers(units []*unit) {
	byKey := map[v1.Hash]*layer.Layer{}
	for _, u := range units {
		for i, l := range u.layers {
			key, err := l.Key()
			if err != nil {
				continue // not hashed yet: a first build's assets, which are one unit anyway
			}
			if same, ok := byKey[key]; ok {
				u.layers[i] = same
			} else {
				byKey[key] = l
			}
		}
	}
}

func (u *unit) complete() bool {
	for _, l := range u.layers {
		if _, ok := l.Descriptor(); !ok {
			return false
		}
	}
	_, err := u.inputDigest()
	return err == nil
}

// inputDigest covers all that the unit's image is made from; it fails while files are not hashed.
func (u *unit) inputDigest() (v1.Hash, error) {
	if u.input != (v1.Hash{}) {
		return u.input, nil
	}
	tree, err := merge.Digest(u.tree)
	if err != nil {
		return v1.Hash{}, err
	}
	config, err := json.Marshal(u.config)
	if err != nil {
		return v1.Hash{}, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "pitcrew input 1\n%s\n%s\n%s\n%d %d\n%s\n",
		u.phase.Name, tree, u.phase.Compression, u.phase.Layers, u.phase.MaxLayerSize, config)
	u.input = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
	return u.input, nil
}

// part is the unit's contribution to an image, once its layers are made.
func (u *unit) part() (compose.Part, error) {
	input, err := u.inputDigest()
	if err != nil {
		return compose.Part{}, err
	}
	p := compose.Part{Phase: u.phase.Name, Config: u.config, InputDigest: input}
	for i := range u.layers {
		cl, err := u.composed(i)
		if err != nil {
			return compose.Part{}, err
		}
		p.Layers = append(p.Layers, cl)
	}
	return p, nil
}

// composed is the made layer i with the contract's annotations.
func (u *unit) composed(i int) (compose.Layer, error) {
	l := u.layers[i]
	d, ok := l.Descriptor()
	diffID, ok2 := l.DiffID()
	if !ok || !ok2 {
		return compose.Layer{}, fmt.Errorf("a layer of %s was not made", u.name())
	}
	key, err := l.Key()
	if err != nil {
		return compose.Layer{}, err
	}
	d = bare(d)
	d.Annotations = map[string]string{
		builder.AnnotationPhase:    string(u.phase.Name),
		builder.AnnotationLayerKey: key.String(),
	}
	if u.phase.Name == builder.Assets {
		d.Annotations[builder.AnnotationLayerKind] = u.plan.Layers[i].Kind
	}
	return compose.Layer{Descriptor: d, DiffID: diffID}, nil
}

// bare is a descriptor without what others wrote on it.
func bare(d v1.Descriptor) v1.Descriptor {
	return v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// bySize orders layers for sending: the largest first, so that no long one is left for the end.
func bySize(a, b *layer.Layer) int { return cmp.Compare(b.SizeHint(), a.SizeHint()) }

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
