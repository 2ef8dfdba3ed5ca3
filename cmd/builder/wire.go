package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
	"github.com/pitcrew-dev/pitcrew/builder/profile"
)

// wiring turns a pipeline and flags into a request with real sources.
type wiring struct {
	options  *options
	flags    buildFlags
	pipeline *pipeline.Pipeline
	digest   v1.Hash // of the pipeline's file
	log      *slog.Logger
	memos    map[string]*memo.Memo
	pins     map[string]v1.Hash
}

func (w *wiring) request(prev *lock.Lock) (build.Request, error) {
	created, err := sourceDateEpoch()
	if err != nil {
		return build.Request{}, err
	}
	w.pins = map[string]v1.Hash{}
	if prev != nil {
		for _, i := range prev.Images {
			w.pins[i.Name] = i.Digest
		}
	}
	p := w.pipeline
	req := build.Request{
		Repository: w.repository(p.Repository),
		Tags:       p.Tags,
		Image:      compose.Options{Created: created},
		Budgets:    build.Budgets{ImageBytes: int64(p.Budgets.Image), EditBytes: int64(p.Budgets.Edit), Layers: p.Budgets.Layers},
		Lock:       prev,
		Recipe:     build.Recipe{Pipeline: p.Metadata.Name, Digest: w.digest, Version: version},
	}
	if req.Image.Annotations, err = w.annotations(); err != nil {
		return build.Request{}, err
	}
	if len(w.flags.tags) > 0 {
		req.Tags = w.flags.tags
	}
	if req.Platforms, err = w.platforms(); err != nil {
		return build.Request{}, err
	}
	if req.AllPlatforms, err = parsePlatforms(p.Platforms); err != nil {
		return build.Request{}, err
	}
	for _, np := range p.Each() {
		phase, err := w.phase(np)
		if err != nil {
			return build.Request{}, err
		}
		req.Phases = append(req.Phases, phase)
	}
	for _, name := range w.flags.phases {
		phase := builder.Phase(name)
		if !slices.ContainsFunc(req.Phases, func(p build.Phase) bool { return p.Name == phase }) {
			return build.Request{}, builder.Errorf(builder.Config, "use a phase of the pipeline", "--phase %q is not in the pipeline", name)
		}
		req.Only = append(req.Only, phase)
	}
	return req, nil
}

// annotations are the pipeline's, and over them those of --annotation.
func (w *wiring) annotations() (map[string]string, error) {
	out := maps.Clone(w.pipeline.Annotations)
	for _, text := range w.flags.annotations {
		key, value, ok := strings.Cut(text, "=")
		switch {
		case !ok || key == "":
			return nil, builder.Errorf(builder.Config, "for example org.opencontainers.image.version=1.4", "--annotation %q is not KEY=VALUE", text)
		case strings.HasPrefix(key, builder.AnnotationPrefix):
			return nil, builder.Errorf(builder.Config, "use another prefix", "--annotation %q: %s is for builder itself", text, builder.AnnotationPrefix)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = value
	}
	return out, nil
}

// sourceDateEpoch follows reproducible-builds.org: a value that is not a number is an error, never ignored.
func sourceDateEpoch() (time.Time, error) {
	v := os.Getenv("SOURCE_DATE_EPOCH")
	if v == "" {
		return time.Unix(0, 0), nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, builder.Errorf(builder.Config, "seconds since 1970", "SOURCE_DATE_EPOCH=%q is not a number", v)
	}
	return time.Unix(n, 0), nil
}

func (w *wiring) repository(name string) string {
	if w.flags.registry == "" {
		return name
	}
	return strings.TrimSuffix(w.flags.registry, "/") + "/" + name
}

func (w *wiring) platforms() ([]v1.Platform, error) {
	names := w.pipeline.Platforms
	for _, want := range w.flags.platforms {
		if !slices.Contains(names, want) {
			return nil, builder.Errorf(builder.Config, "use one of "+strings.Join(names, ", "), "--platform %q is not in the pipeline", want)
		}
	}
	if len(w.flags.platforms) > 0 {
		names = w.flags.platforms
	}
	return parsePlatforms(names)
}

func parsePlatforms(names []string) ([]v1.Platform, error) {
	var out []v1.Platform
	for _, n := range names {
		p, err := v1.ParsePlatform(n)
		if err != nil {
			return nil, builder.Errorf(builder.Config, "for example linux/arm64", "platform %q: %w", n, err)
		}
		out = append(out, *p)
	}
	return out, nil
}

func (w *wiring) phase(np pipeline.NamedPhase) (build.Phase, error) {
	out := build.Phase{
		Name: np.Name, Repository: w.repository(np.Phase.Repository), Replaces: np.Phase.Replaces,
		Layers: np.Phase.Split.Layers, MaxLayerSize: int64(np.Phase.Split.MaxLayerSize), MaxDeltas: np.Phase.Split.MaxDeltas,
		Compression: np.Phase.Compression, Config: imageConfig(np.Phase.Config),
	}
	for i := range np.Phase.Sources {
		s := &np.Phase.Sources[i]
		bs, err := w.source(sourceAt("phases."+string(np.Name), i), s)
		if err != nil {
			return build.Phase{}, err
		}
		out.Sources = append(out.Sources, bs)
	}
	if err := w.profiles(&out, np.Phase); err != nil {
		return build.Phase{}, err
	}
	if np.Phase.Build != nil {
		bs, err := w.compile(np.Name, np.Phase.Build)
		if err != nil {
			return build.Phase{}, err
		}
		out.Sources = append(out.Sources, bs)
	}
	return out, nil
}

// profiles tells the assets phase what of it is wanted.
func (w *wiring) profiles(out *build.Phase, phase *pipeline.Phase) error {
	chosen := w.profile()
	for _, p := range phase.Profiles {
		own := profile.Profile{Name: p.Name, Include: p.Include, Exclude: p.Exclude, Placeholders: p.Placeholders, Prune: p.Directories == "prune"}
		out.Profiles = append(out.Profiles, own)
		if p.Name == chosen {
			out.Profile = &own
		}
	}
	if out.Name == builder.Assets && out.Profile == nil && chosen != profile.Full {
		return builder.Errorf(builder.Config, "name one of phases.assets.profiles, or full", "--profile %q is not in the pipeline", chosen)
	}
	return nil
}

// profile is the name of the assets' profile that is wanted.
func (w *wiring) profile() string { return cmp.Or(w.flags.profile, w.ownProfile()) }

// ownProfile is the one that the pipeline says.
func (w *wiring) ownProfile() string {
	if a := w.pipeline.Phases.Assets; a != nil && a.Profile != "" {
		return a.Profile
	}
	return profile.Full
}

// lockFile is the pipeline's for its own profile; others have one each beside it.
func (w *wiring) lockFile() string {
	name := w.pipeline.Lock
	if own := w.profile(); own != w.ownProfile() {
		ext := filepath.Ext(name)
		name = strings.TrimSuffix(name, ext) + "." + own + ext
	}
	return filepath.Join(w.folder(), name)
}

func sourceAt(of string, i int) string { return fmt.Sprintf("%s.sources[%d]", of, i) }

func (w *wiring) source(at string, s *pipeline.Source) (build.Source, error) {
	out := build.Source{
		Source: platformSource{w, s}, Origin: at + " (" + describe(s) + ")",
		Include: s.Include, Exclude: s.Exclude, Destination: s.Destination,
	}
	var err error
	if out.Platforms, err = parsePlatforms(s.Platforms); err != nil {
		return out, err
	}
	if uid, gid, ok := strings.Cut(s.Owner, ":"); ok {
		u, uerr := strconv.Atoi(uid)
		g, gerr := strconv.Atoi(gid)
		if err := errors.Join(uerr, gerr); err != nil {
			return out, builder.Errorf(builder.Config, "", "%s.owner: %w", at, err)
		}
		out.UID, out.GID = &u, &g
	}
	return out, nil
}

// memo is shared by the sources on one folder.
func (w *wiring) memo(root string) *memo.Memo {
	if m, ok := w.memos[root]; ok {
		return m
	}
	m, warn := memo.Open(w.options.cacheDir, root)
	if warn != nil {
		w.log.Warn("file memory not used", "folder", root, "err", warn)
	}
	if w.memos == nil {
		w.memos = map[string]*memo.Memo{}
	}
	w.memos[root] = m
	return m
}

func (w *wiring) saveMemos(layers *memo.Layers) error {
	err := layers.Save()
	for _, m := range w.memos {
		err = errors.Join(err, m.Save())
	}
	return err
}

func imageConfig(c pipeline.Config) v1.Config {
	out := v1.Config{
		Entrypoint: c.Entrypoint, Cmd: c.Cmd, User: c.User, WorkingDir: c.WorkingDir, Labels: c.Labels, StopSignal: c.StopSignal,
	}
	for k, v := range c.Env {
		out.Env = append(out.Env, k+"="+v)
	}
	slices.Sort(out.Env)
	for _, v := range c.Volumes {
		if out.Volumes == nil {
			out.Volumes = map[string]struct{}{}
		}
		out.Volumes[v] = struct{}{}
	}
	for _, p := range c.Ports {
		if out.ExposedPorts == nil {
			out.ExposedPorts = map[string]struct{}{}
		}
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		out.ExposedPorts[p] = struct{}{}
	}
	return out
}
