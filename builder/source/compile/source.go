package compile

import (
	"context"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// Source is a command and what it works on.
type Source struct{ options Options }

// New makes a source of what a command makes.
func New(options Options) *Source { return &Source{options: options} }

// Resolve resolves the command's sources. It runs nothing.
func (s *Source) Resolve(ctx context.Context, platform v1.Platform) (builder.Resolved, error) {
	r := &Resolved{options: &s.options, platform: platform}
	for _, in := range s.options.Sources {
		if len(in.Platforms) > 0 && !slices.ContainsFunc(in.Platforms, platform.Equals) {
			continue
		}
		resolved, err := in.Resolve(ctx, platform)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.Origin, err)
		}
		r.inputs = append(r.inputs, input{in, resolved})
	}
	if s.options.Runner != nil {
		var err error
		if r.tools, err = s.options.Runner.Tools(ctx); err != nil {
			return nil, r.failed(err)
		}
	}
	return r, nil
}

// input is a source that was resolved.
type input struct {
	Input
	resolved builder.Resolved
}

// Resolved is a command whose sources are pinned. It is a [builder.Resolved].
type Resolved struct {
	options  *Options
	platform v1.Platform
	inputs   []input
	tools    builder.Pin // a runner's

	mu       sync.Mutex // held while the digests are set
	portable v1.Hash
	digest   v1.Hash
}

// Tree is what the command makes. It runs unless that is in the store. A command that fails, and outputs that are
// missing or that an image cannot hold, are errors of kind Input.
func (r *Resolved) Tree(ctx context.Context) (builder.Tree, error) {
	key, err := r.InputDigest(ctx)
	if err != nil {
		return builder.Tree{}, err
	}
	if t, ok, err := r.options.Store.Tree(key); ok || err != nil {
		return pack.Link(t), r.failed(err)
	}
	if err := r.Possible(); err != nil { //nolint:contextcheck // it looks at what was asked for before
		return builder.Tree{}, err
	}
	t, err := r.options.Store.Fill(ctx, key, func(w *pack.Writer) error { return r.fill(ctx, key, w) })
	return pack.Link(t), r.failed(err)
}

func (r *Resolved) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s for %s: %w", r.options.Name, r.platform, err)
}

// Possible is nil if Tree can give the files on this machine, and otherwise an error of kind Input that says where and
// how they can be made.
func (r *Resolved) Possible() error {
	if r.here() || r.Pending() == 0 {
		return nil
	}
	return builder.Errorf(builder.Input, fmt.Sprintf(
		"run `builder build --phase %s --platform %s` on such a machine, with the same registry, then `builder compose`; "+
			"or say under perPlatform that a cross toolchain is used (cross: true)", r.options.Phase, r.platform),
		"%s: this machine is %s and has no cross toolchain for %s", r.options.Name, r.options.Host, r.platform)
}

// here reports whether the command can run for the platform.
func (r *Resolved) here() bool {
	host := r.options.Host
	same := host.OS == r.platform.OS && host.Architecture == r.platform.Architecture
	return same || r.options.Cross || r.options.Runner != nil
}

// Pending is 0 if the outputs are in the store, else -1.
func (r *Resolved) Pending() int64 {
	key, err := r.InputDigest(context.Background())
	if err == nil {
		if _, ok, err := r.options.Store.Tree(key); ok && err == nil {
			return 0
		}
	}
	return -1
}

// Pins are those of the sources, and a runner's tools.
func (r *Resolved) Pins() []builder.Pin {
	var pins []builder.Pin
	if r.options.Runner != nil {
		pins = append(pins, r.tools)
	}
	for _, in := range r.inputs {
		pins = append(pins, in.resolved.Pins()...)
	}
	return pins
}

// Remote reports that an image in a registry can spare running the command.
func (r *Resolved) Remote() bool { return true }

// Materials are those of the sources.
func (r *Resolved) Materials() []builder.Material {
	var out []builder.Material
	for _, in := range r.inputs {
		if m, ok := in.resolved.(interface{ Materials() []builder.Material }); ok {
			out = append(out, m.Materials()...)
		}
	}
	return out
}
