package build

import (
	"context"
	"errors"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
)

// Plan is what a build would do: `builder plan --output json`. Sizes are bytes.
type Plan struct {
	// Ref is the tag that would move; Digest is what it would name then, Previous what it names now, if anything.
	Ref      string `json:"ref"`
	Digest   string `json:"digest"`
	Previous string `json:"previous"`
	Changes  bool   `json:"changes"`
	// FetchedBytes had to be fetched from elsewhere to make the plan; they are cached now.
	FetchedBytes int64 `json:"fetchedBytes"`
	// PushBytes would be sent; what is in the repositories already or can be mounted there is not counted.
	PushBytes int64         `json:"pushBytes"`
	Phases    []PhaseResult `json:"phases"`
	// Layers are those that the present image does not have.
	Layers []LayerChange `json:"layers"`
	Nodes  []NodeCost    `json:"nodes"`
	// OverBudget is Problem's text.
	OverBudget string `json:"overBudget,omitempty"`
	// Problem is the Policy error that the build would end with, or nil.
	Problem error `json:"-"`
}

// LayerChange is a layer that would be new, with the paths that are the reason.
type LayerChange struct {
	Phase string `json:"phase"`
	// Platforms lists where the layer is used.
	Platforms []string `json:"platforms"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	// Causes are the paths that were added, changed or removed since the lock was written, at most MaxCauses of them. A
	// layer that no lock describes is there because of all its files.
	Causes     []Cause `json:"causes"`
	CauseCount int     `json:"causeCount"`
}

// Cause is a path that makes a layer new.
type Cause struct {
	Path   string `json:"path"`
	Change string `json:"change"` // added, changed, removed
}

// MaxCauses bounds how many paths a plan names for one layer.
const MaxCauses = 10

// NodeCost is what one node pulls to get the new image.
type NodeCost struct {
	Platform string `json:"platform"`
	// ColdBytes is for a node that has nothing, WarmBytes for one that has the present image.
	ColdBytes int64 `json:"coldBytes"`
	WarmBytes int64 `json:"warmBytes"`
}

// Plan says what Build would do, and publishes nothing. Layers that no earlier build made are packed to learn their
// digests; sources are fetched into the cache.
func (b *Builder) Plan(ctx context.Context, req Request) (*Plan, error) {
	r, err := b.prepare(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := r.known.loadPrevious(ctx); err != nil {
		return nil, err
	}
	if err := r.replaceLost(ctx); err != nil {
		return nil, err
	}
	if err := r.packAll(ctx); err != nil {
		return nil, err
	}
	index, err := r.composeServer()
	if err != nil {
		return nil, err
	}
	p := &Plan{Digest: index.Descriptor.Digest.String(), FetchedBytes: r.fetched, Layers: []LayerChange{}, Nodes: []NodeCost{}}
	if err := r.describeRef(p); err != nil {
		return nil, err
	}
	if p.PushBytes, err = r.pushBytes(ctx, index); err != nil {
		return nil, err
	}
	for _, img := range index.Images {
		cold, warm := pullBytes(img, r.known.previous)
		p.Nodes = append(p.Nodes, NodeCost{Platform: img.Platform.String(), ColdBytes: cold, WarmBytes: warm})
	}
	p.Layers = r.changes()
	p.Phases = r.phaseResults()
	if err := r.checkBudgets(ctx, index); err != nil {
		p.Problem, p.OverBudget = err, err.Error()
	}
	return p, nil
}

func (r *run) describeRef(p *Plan) error {
	repo, err := r.Open(r.req.Repository)
	if err != nil {
		return err
	}
	p.Ref = repo.Name()
	if len(r.req.Tags) > 0 {
		p.Ref += ":" + r.req.Tags[0]
	}
	if r.known.previous != nil {
		p.Previous = r.known.previous.Descriptor.Digest.String()
	}
	p.Changes = p.Previous != p.Digest
	return nil
}

// packAll makes the layers that nobody knows, to nowhere.
func (r *run) packAll(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, r.Jobs))
	seen := map[*layer.Layer]bool{}
	for _, u := range r.units {
		for _, l := range u.layers {
			if _, ok := l.Descriptor(); ok || seen[l] {
				u.made = u.made || !ok
				continue
			}
			seen[l], u.made = true, true
			g.Go(func() error {
				_, err := r.watch(l).WriteTo(ctx, io.Discard)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.remember()
}

// pushBytes asks each phase's repository for the layers that the present image does not have.
func (r *run) pushBytes(ctx context.Context, index compose.Index) (int64, error) {
	seen := map[v1.Hash]bool{}
	var sum int64
	for _, u := range r.units {
		repo, err := r.Open(u.phase.Repository)
		if err != nil {
			return 0, err
		}
		for _, l := range u.layers {
			d, _ := l.Descriptor()
			if seen[d.Digest] || r.known.has(d.Digest) {
				continue
			}
			seen[d.Digest] = true
			there, err := repo.HasBlob(ctx, d)
			if err != nil && !errors.Is(err, builder.ErrNotFound) {
				return 0, err
			}
			if !there {
				sum += d.Size
			}
		}
	}
	for _, img := range index.Images {
		sum += img.ConfigDescriptor.Size + img.ManifestDescriptor.Size
	}
	return sum + index.Descriptor.Size, nil
}

// changes lists the layers that the present image lacks.
func (r *run) changes() []LayerChange {
	out := []LayerChange{}
	at := map[v1.Hash]int{}
	for _, u := range r.units {
		for i, l := range u.layers {
			d, _ := l.Descriptor()
			if r.known.has(d.Digest) {
				continue
			}
			if j, ok := at[d.Digest]; ok {
				out[j].Platforms = append(out[j].Platforms, u.platformNames()...)
				continue
			}
			at[d.Digest] = len(out)
			c := LayerChange{Phase: string(u.phase.Name), Platforms: u.platformNames(), Digest: d.Digest.String(), Size: d.Size}
			causes := u.causes(i, r.req.Lock)
			c.CauseCount = len(causes)
			c.Causes = slices.Clip(causes[:min(len(causes), MaxCauses)])
			out = append(out, c)
		}
	}
	return out
}

func (u *unit) platformNames() []string {
	var out []string
	for _, p := range u.platforms {
		out = append(out, p.String())
	}
	return out
}
