package main

import (
	"cmp"
	"context"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/layer"
	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
	"github.com/pitcrew-dev/pitcrew/builder/source/apt"
	"github.com/pitcrew-dev/pitcrew/builder/source/archive"
	"github.com/pitcrew-dev/pitcrew/builder/source/bucket"
	"github.com/pitcrew-dev/pitcrew/builder/source/dir"
	"github.com/pitcrew-dev/pitcrew/builder/source/files"
	"github.com/pitcrew-dev/pitcrew/builder/source/git"
	"github.com/pitcrew-dev/pitcrew/builder/source/image"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
	"github.com/pitcrew-dev/pitcrew/internal/fetch"
)

// platformSource is a source whose paths and references may depend on the platform.
type platformSource struct {
	*wiring
	spec *pipeline.Source
}

// Resolve implements [builder.Source].
func (p platformSource) Resolve(ctx context.Context, platform v1.Platform) (builder.Resolved, error) {
	s, err := p.adapter(p.spec.For(platform))
	if err != nil {
		return nil, err
	}
	return s.Resolve(ctx, platform)
}

// describe says which source of the pipeline a message is about.
func describe(s *pipeline.Source) string {
	switch {
	case s.Dir != nil:
		return "dir " + s.Dir.Path
	case s.Apt != nil:
		return "apt " + strings.Join(s.Apt.Packages, " ")
	case s.AptSource != nil:
		return "aptSource " + s.AptSource.Package
	case s.Image != nil:
		return "image " + s.Image.Ref
	case s.Bucket != nil:
		return "bucket " + withoutQuery(s.Bucket.URL)
	case s.Git != nil:
		return "git " + s.Git.URL + " " + s.Git.Ref
	case s.Archive != nil:
		return "archive " + cmp.Or(s.Archive.Path, s.Archive.URL, strings.Join(s.Archive.Parts, " "))
	default:
		return "files"
	}
}

// versionControl is what tools keep of their own in a working copy: no part of a game, and another one in every clone.
var versionControl = []string{"**/.git/**", "**/.svn/**", "**/.hg/**"}

// adapter makes the source that the pipeline describes.
func (p platformSource) adapter(s *pipeline.Source) (builder.Source, error) {
	switch {
	case s.Dir != nil:
		root := p.beside(s.Dir.Path)
		return dir.New(root, dir.Options{Memo: p.memo(root), AbsoluteLinks: s.Dir.AbsoluteLinks, Exclude: append(slices.Clone(s.Exclude), versionControl...), Hash: hashFiles}), nil
	case s.Files != nil:
		list, err := fileList(s.Files)
		return files.New(p.folder(), files.Options{Files: list, Hash: hashFiles}), err
	case s.Bucket != nil:
		return bucket.New(s.Bucket.URL, p.bucketOptions())
	case s.Git != nil:
		return p.git(s.Git)
	case s.Apt != nil:
		return p.apt(s.Apt)
	case s.AptSource != nil:
		return p.aptSource(s.AptSource)
	case s.Image != nil:
		store, err := p.store()
		return image.New(image.Options{Ref: s.Image.Ref, Store: store, Open: p.openPinned}), err
	default:
		return p.archive(s.Archive)
	}
}

func (w *wiring) folder() string { return filepath.Dir(w.flags.file) }

// beside is a path that the pipeline gives, seen from here.
func (w *wiring) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(w.folder(), path)
}

func (w *wiring) store() (*pack.Store, error) {
	return pack.Open(filepath.Join(w.options.cacheDir, "packs"))
}

// openPinned opens an image at the digest that the lock has for its name.
func (w *wiring) openPinned(_ context.Context, ref string) (builder.Reader, string, error) {
	r, reference, err := w.options.open(ref)
	if pin, ok := w.pins[ref]; ok && !w.flags.update {
		reference = pin.String()
	}
	return r, reference, err
}

func (w *wiring) archive(a *pipeline.Archive) (builder.Source, error) {
	store, err := w.store()
	if err != nil {
		return nil, err
	}
	o := archive.Options{
		Root: w.folder(), Path: a.Path, Parts: a.Parts, URL: a.URL, SHA256: a.SHA256,
		Format: archive.Format(a.Format), StripComponents: a.StripComponents,
		Limits: w.limits(), Store: store, Memo: w.memo, Hash: hashFiles, CacheDir: w.options.cacheDir, Fetch: &fetch.Client{},
	}
	if places := append(slices.Clone(a.Parts), a.URL); bucket.IsLocation(places[0]) {
		if a.URL == "" {
			places = a.Parts
		}
		o.Parts, o.URL, o.ObjectsName = nil, "", withoutQuery(strings.Join(places, " "))
		o.Objects = func(ctx context.Context) (archive.Objects, error) {
			return bucket.NewFiles(ctx, w.bucketOptions(), places...)
		}
	}
	return archive.New(o), nil
}

func (w *wiring) git(g *pipeline.Git) (builder.Source, error) {
	store, err := w.store()
	if err != nil {
		return nil, err
	}
	return git.New(git.Options{
		URL: g.URL, Ref: g.Ref, Folder: g.Folder, User: cmp.Or(os.Getenv("PITCREW_GIT_USER"), "git"), Password: os.Getenv("PITCREW_GIT_PASSWORD"),
		Limits: w.limits(), Store: store, CacheDir: w.options.cacheDir,
	}), nil
}

func (w *wiring) limits() pack.Limits {
	return pack.Limits{MaxSize: int64(w.pipeline.Limits.MaxUnpackedSize), MaxEntries: w.pipeline.Limits.MaxEntries}
}

func (w *wiring) bucketOptions() bucket.Options { return bucket.Options{CacheDir: w.options.cacheDir} }

// withoutQuery is a place in an object store as messages and provenance name it.
func withoutQuery(place string) string {
	place, _, _ = strings.Cut(place, "?")
	return place
}

func (w *wiring) apt(a *pipeline.Apt) (builder.Source, error) {
	store, err := w.store()
	if err != nil {
		return nil, err
	}
	o := apt.Options{
		Packages: a.Packages, Dependencies: apt.Dependencies(a.Dependencies), Recommends: a.Recommends, Exclude: a.Exclude,
		UsrMerge: *a.UsrMerge, CacheDir: filepath.Join(w.options.cacheDir, "apt"), Store: store, Fetch: &fetch.Client{}, Log: w.log,
	}
	o.Mirrors, err = w.mirrors(a.Mirrors)
	return apt.New(o), err
}

func (w *wiring) mirrors(in []pipeline.Mirror) (out []apt.Mirror, err error) {
	for _, m := range in {
		mirror := apt.Mirror{URI: m.URI, Suites: m.Suites, Components: m.Components}
		if m.SignedBy != "" {
			if mirror.SignedBy, err = filepath.Abs(w.beside(m.SignedBy)); err != nil {
				return nil, err
			}
		}
		out = append(out, mirror)
	}
	return out, nil
}

func (w *wiring) aptSource(a *pipeline.AptSource) (builder.Source, error) {
	store, err := w.store()
	if err != nil {
		return nil, err
	}
	mirrors, err := w.mirrors(a.Mirrors)
	return apt.NewSourcePackage(apt.SourceOptions{
		Package: a.Package, Version: a.Version, Upstream: a.Upstream, Mirrors: mirrors, CacheDir: filepath.Join(w.options.cacheDir, "apt"),
		Open: func(url, sha256 string) builder.Source {
			return archive.New(archive.Options{
				URL: url, SHA256: sha256, StripComponents: 1, Limits: w.limits(), Store: store, Memo: w.memo, Hash: hashFiles,
				CacheDir: w.options.cacheDir, Fetch: &fetch.Client{},
			})
		},
	}), err
}

func hashFiles(ctx context.Context, seq iter.Seq[*builder.Entry]) error {
	return layer.Hash(ctx, seq, runtime.GOMAXPROCS(0))
}

func fileList(in []pipeline.File) ([]files.File, error) {
	var out []files.File
	for _, f := range in {
		e := files.File{Path: f.Path, From: f.From, Link: f.Link, Dir: f.Dir}
		if f.Content != nil {
			e.Content = []byte(*f.Content)
		}
		if f.Mode != "" {
			mode, err := strconv.ParseUint(f.Mode, 8, 12)
			if err != nil {
				return nil, builder.Errorf(builder.Config, "", "mode of %s: %w", f.Path, err)
			}
			e.Mode = uint32(mode)
		}
		out = append(out, e)
	}
	return out, nil
}
