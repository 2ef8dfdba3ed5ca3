package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

// buildFlags say what to build and where it goes.
type buildFlags struct {
	file             string
	registry, layout string
	phases           []string
	platforms        []string
	tags             []string
	lock             string
	jobs             int
	update           bool
}

func buildCommand(o *options) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "build -f pipeline.yaml [--registry HOST/PREFIX | --layout DIR]",
		Short: "Build the phases, compose the server image, publish both; prints the image's digest",
		Long: "Build the phases, compose the server image and publish both. Only what no earlier build made is made.\n\n" +
			"Exit codes: 0 done, 1 internal, 2 usage or pipeline, 3 input, 4 credentials, 5 registry (try again), 6 policy.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBuild(cmd, o, f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "pipeline.yaml", "the pipeline")
	flags.StringVar(&f.registry, "registry", "", "registry and prefix that the pipeline's repositories are below")
	flags.StringVar(&f.layout, "layout", "", "write an OCI image layout to this folder instead (default without --registry: NAME.oci)")
	flags.StringArrayVar(&f.phases, "phase", nil, "build only this phase's image (may be repeated)")
	flags.StringArrayVar(&f.platforms, "platform", nil, "build only for this platform (may be repeated)")
	flags.StringArrayVar(&f.tags, "tag", nil, "tag instead of the pipeline's (may be repeated)")
	flags.StringVar(&f.lock, "lock", "", "lock file instead of the pipeline's")
	flags.BoolVar(&f.update, "update", false, "ask again what the tags of image sources stand for, instead of the lock")
	flags.IntVar(&f.jobs, "jobs", max(2, runtime.GOMAXPROCS(0)), "layers packed and sent at the same time")
	return cmd
}

func runBuild(cmd *cobra.Command, o *options, f buildFlags) error {
	log := cli.Log(cmd.Context())
	var err error
	if o.cacheDir, err = filepath.Abs(o.cacheDir); err != nil {
		return err
	}
	p, err := readPipeline(f.file)
	if err != nil {
		return err
	}
	lockFile := filepath.Join(filepath.Dir(f.file), p.Lock)
	if f.lock != "" {
		lockFile = f.lock
	}
	prev, err := readLock(lockFile)
	if err != nil {
		return err
	}
	layers, warn := memo.OpenLayers(o.cacheDir)
	if warn != nil {
		log.Warn("layer memory not used", "err", warn)
	}
	w := &wiring{options: o, flags: f, pipeline: p, log: log}
	req, err := w.request(prev)
	if err != nil {
		return err
	}
	open, err := w.opener()
	if err != nil {
		return err
	}
	b := &build.Builder{Open: open, Layers: layers, Jobs: f.jobs, Workers: runtime.GOMAXPROCS(0), Log: log}
	res, err := b.Build(cmd.Context(), req)
	if serr := w.saveMemos(layers); serr != nil {
		log.Warn("what was learnt is not kept", "err", serr)
	}
	if err != nil {
		return err
	}
	if err := writeLock(lockFile, res.Lock); err != nil {
		return err
	}
	log.Info("built", "ref", res.Ref, "pushed", res.PushedBytes, "mounted", res.MountedBytes, "reused", res.ReusedBytes)
	return o.print(cmd.OutOrStdout(), res, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, res.Ref)
		return err
	})
}

func readPipeline(file string) (*pipeline.Pipeline, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, builder.Errorf(builder.Config, "name the pipeline with -f", "read pipeline: %w", err)
	}
	defer f.Close()
	return pipeline.Parse(file, f, os.DirFS(filepath.Dir(file)))
}

func readLock(file string) (*lock.Lock, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, builder.Errorf(builder.Config, "", "read lock: %w", err)
	}
	defer f.Close()
	return lock.Parse(file, f)
}

// writeLock replaces the file as a whole, so that a build which is killed leaves the old one.
func writeLock(file string, l *lock.Lock) (err error) {
	if l == nil {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".tmp-*")
	if err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = l.WriteTo(tmp)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	return err
}

// opener gives the repositories that the build publishes to.
func (w *wiring) opener() (func(string) (builder.Repository, error), error) {
	if w.flags.registry != "" && w.flags.layout != "" {
		return nil, builder.Errorf(builder.Config, "", "--registry and --layout exclude each other")
	}
	if w.flags.registry != "" {
		client := w.options.client()
		return func(name string) (builder.Repository, error) { return client.Repository(name) }, nil
	}
	dir := w.flags.layout
	if dir == "" {
		dir = w.pipeline.Metadata.Name + ".oci"
	}
	l, err := layout.Open(dir)
	if err != nil {
		return nil, err
	}
	return func(string) (builder.Repository, error) { return l, nil }, nil
}
