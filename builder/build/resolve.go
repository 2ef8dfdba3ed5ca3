package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
)

func (r *run) resolve(ctx context.Context, u *unit) error {
	platform := u.platforms[0]
	for _, s := range u.phase.Sources {
		if len(s.Platforms) > 0 && !slices.ContainsFunc(s.Platforms, platform.Equals) {
			continue
		}
		resolved, err := s.Resolve(ctx, platform)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Origin, err)
		}
		u.pins = append(u.pins, resolved.Pins()...)
		u.sources = append(u.sources, found{s, resolved})
	}
	r.pins = append(r.pins, u.pins...)
	return r.digestSources(ctx, u)
}

// portable is a source whose input digest is not the same on all machines.
type portable interface {
	// Portable is the part of the input digest that is.
	Portable(ctx context.Context) (v1.Hash, error)
	// Possible is nil if Tree can give the files on this machine, and else says where it can.
	Possible() error
}

// digestSources names what the unit is made of, without making it; only where that can spare a download.
func (r *run) digestSources(ctx context.Context, u *unit) (err error) {
	if !slices.ContainsFunc(u.sources, func(f found) bool { m, ok := f.resolved.(remote); return ok && m.Remote() }) {
		return nil
	}
	u.portable, err = u.digestOf(r.req.created(), func(s builder.Resolved) (v1.Hash, error) {
		if p, ok := s.(portable); ok {
			return p.Portable(ctx)
		}
		return s.InputDigest(ctx)
	})
	if err != nil {
		return err
	}
	u.sourceDigest, err = u.digestOf(r.req.created(), func(s builder.Resolved) (v1.Hash, error) { return s.InputDigest(ctx) })
	if err != nil && r.composing && ctx.Err() == nil {
		u.sourceDigest, err = u.portable, nil // who composes need not have the tools
	}
	return err
}

func (u *unit) digestOf(created time.Time, input func(builder.Resolved) (v1.Hash, error)) (v1.Hash, error) {
	config, err := json.Marshal(u.phase.Config)
	if err != nil {
		return v1.Hash{}, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "pitcrew sources 3\n%s %d\n%s %d %d\n%s\n", u.name(), created.Unix(), u.phase.Compression, u.phase.Layers, u.phase.MaxLayerSize, config)
	if len(u.phase.Profiles) > 0 {
		profiles, err := json.Marshal([]any{u.phase.Profile, u.phase.Profiles})
		if err != nil {
			return v1.Hash{}, err
		}
		fmt.Fprintf(h, "profiles %s\n", profiles)
	}
	for _, f := range u.sources {
		digest, err := input(f.resolved)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("%s: %w", f.Origin, err)
		}
		place, err := json.Marshal([]any{f.Include, f.Exclude, f.Destination, f.UID, f.GID})
		if err != nil {
			return v1.Hash{}, err
		}
		fmt.Fprintf(h, "%s %s\n", digest, place)
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, nil
}

// possible is nil if the unit can be made on this machine.
func (u *unit) possible() error {
	for _, f := range u.sources {
		if p, ok := f.resolved.(portable); ok {
			if err := p.Possible(); err != nil {
				return err
			}
		}
	}
	return nil
}

// impossible is one error about all units that would have to be made, and cannot be made here, before any of them is.
func (r *run) impossible() error {
	var errs []error
	for _, u := range r.units {
		switch {
		case u.ready:
		case r.composing:
			errs = append(errs, u.missing())
		default:
			errs = append(errs, u.possible())
		}
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	var hints []string
	for _, err := range errs {
		if e, ok := errors.AsType[*builder.Error](err); ok {
			hints = append(hints, e.Hint)
		}
	}
	return builder.Errorf(builder.Input, strings.Join(hints, "; "), "%w", errors.Join(errs...))
}

// missing is an error if the unit would have to be made by a command, which composing does not do.
func (u *unit) missing() error {
	for _, f := range u.sources {
		if _, ok := f.resolved.(portable); ok && f.resolved.Pending() != 0 {
			return builder.Errorf(builder.Input, fmt.Sprintf("builder build --phase %s --platform %s, on a machine that can, with the same sources and registry", u.phase.Name, u.platforms[0]),
				"there is no image of phase %s for %s in %s", u.phase.Name, u.platforms[0], u.phase.Repository)
		}
	}
	return nil
}
