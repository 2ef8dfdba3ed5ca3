package main

import (
	"context"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
	"github.com/pitcrew-dev/pitcrew/builder/source/compile"
	"github.com/pitcrew-dev/pitcrew/builder/source/compile/buildkit"
)

// compileSource is a phase's build as a source: what differs by platform is known when that is.
type compileSource struct {
	*wiring
	phase   builder.Phase
	spec    *pipeline.Build
	created time.Time
}

func (w *wiring) compile(phase builder.Phase, spec *pipeline.Build) (build.Source, error) {
	created, err := sourceDateEpoch()
	return build.Source{
		Source: compileSource{w, phase, spec, created}, Origin: buildAt(phase) + " (" + spec.Command[0] + ")", Destination: "/",
	}, err
}

func buildAt(phase builder.Phase) string { return "phases." + string(phase) + ".build" }

// Resolve implements [builder.Source].
func (c compileSource) Resolve(ctx context.Context, platform v1.Platform) (builder.Resolved, error) {
	spec := c.spec.For(platform)
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	var timeout time.Duration
	if spec.Timeout != "" {
		if timeout, err = time.ParseDuration(spec.Timeout); err != nil {
			return nil, builder.Errorf(builder.Config, "for example 30m", "%s.timeout: %w", buildAt(c.phase), err)
		}
	}
	o := compile.Options{
		Name: buildAt(c.phase), Phase: c.phase, Command: spec.Command, WorkingDir: spec.WorkingDir, Env: spec.Env,
		Toolchain: spec.Toolchain, Cross: spec.Cross(), Host: v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH},
		Timeout: timeout, Created: c.created, Jobs: runtime.GOMAXPROCS(0), Limits: c.limits(), Store: store,
		CacheDir: filepath.Clean(c.options.cacheDir), Log: c.log,
	}
	if spec.BuildKit != nil {
		o.Runner = c.buildkit(spec.BuildKit)
	}
	for i := range spec.Sources {
		in, err := c.input(i, &spec.Sources[i])
		if err != nil {
			return nil, err
		}
		o.Sources = append(o.Sources, in)
	}
	for _, out := range spec.Outputs {
		o.Outputs = append(o.Outputs, compile.Output{Path: out.Path, Destination: out.Destination, Include: out.Include, Exclude: out.Exclude})
	}
	return compile.New(o).Resolve(ctx, platform)
}

// buildkit is a daemon that runs the command, with the tools of an image that is pinned as images of sources are.
func (w *wiring) buildkit(spec *pipeline.BuildKit) *buildkit.Runner {
	o := buildkit.Options{Addr: spec.Addr, Image: spec.Image, Open: w.openPinned}
	if spec.TLS != nil {
		o.CA, o.Cert, o.Key = w.beside(spec.TLS.CA), w.beside(spec.TLS.Cert), w.beside(spec.TLS.Key)
	}
	return buildkit.New(o)
}

func (c compileSource) input(i int, s *pipeline.Source) (compile.Input, error) {
	bs, err := c.source(sourceAt(buildAt(c.phase), i), s)
	return compile.Input{
		Source: bs.Source, Origin: bs.Origin, Platforms: bs.Platforms, Include: bs.Include, Exclude: bs.Exclude, Destination: bs.Destination,
	}, err
}
