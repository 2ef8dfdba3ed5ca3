package apt

import (
	"context"
	"log/slog"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Source is a set of Debian packages.
type Source struct{ options Options }

// New makes a source of packages.
func New(options Options) *Source { return &Source{options: options} }

// Resolve finds the packages, their versions and hashes for one platform. It returns a [builder.Error] of kind Config
// if the options or the platform cannot be, Input if a package is not to be had or apt is missing, and Transient if a
// mirror that matters could not be reached.
//
// A mirror matters if the pipeline lists it. Of the machine's own sources those matter that packages come from, and
// all if a package is missing; others are logged.
func (s *Source) Resolve(ctx context.Context, platform v1.Platform) (builder.Resolved, error) {
	if err := s.options.validate(); err != nil {
		return nil, err
	}
	arch, err := architecture(platform)
	if err != nil {
		return nil, err
	}
	state, err := openState(ctx, s.options.CacheDir, arch, s.options.Mirrors)
	if err != nil {
		return nil, err
	}
	defer state.unlock()
	packages, err := s.packages(ctx, state)
	if err != nil {
		return nil, err
	}
	return &Resolved{options: &s.options, packages: packages}, nil
}

func (s *Source) packages(ctx context.Context, state *state) ([]Package, error) {
	failures, err := state.update(ctx, &s.options)
	if err != nil {
		return nil, err
	}
	if len(failures) > 0 && state.own {
		return nil, mirrorError(failures, nil)
	}
	packages, err := state.closure(ctx, &s.options)
	if err != nil {
		if len(failures) > 0 && ctx.Err() == nil {
			err = mirrorError(failures, err)
		}
		return nil, err
	}
	return packages, s.judge(failures, packages)
}

// judge decides about sources that failed although all packages were found.
func (s *Source) judge(failures []failure, packages []Package) error {
	var matter []failure
	for _, f := range failures {
		if concernsAny(f, packages) {
			matter = append(matter, f)
		} else {
			s.log().Warn("apt source could not be updated", "mirror", redact(f.mirror), "reason", f.reason)
		}
	}
	if len(matter) > 0 {
		return mirrorError(matter, nil)
	}
	return nil
}

func concernsAny(f failure, packages []Package) bool {
	for _, p := range packages {
		if f.concerns(p.URI) {
			return true
		}
	}
	return false
}

func (s *Source) log() *slog.Logger {
	if s.options.Log != nil {
		return s.options.Log
	}
	return slog.New(slog.DiscardHandler)
}
