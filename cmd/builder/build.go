package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
	"github.com/pitcrew-dev/pitcrew/builder/publish/tarball"
	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

// buildFlags say what to build and where it goes.
type buildFlags struct {
	file             string
	registry, layout string
	tarball          string
	phases           []string
	platforms        []string
	tags             []string
	annotations      []string
	lock             string
	jobs             int
	update, frozen   bool
	compact          bool
	from             string
	signKey          string
	profile          string
}

func buildCommand(o *options) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "build -f pipeline.yaml [--registry HOST/PREFIX | --layout DIR | --tarball FILE]",
		Short: "Build the phases, compose the server image, publish both; prints the image's digest",
		Long: "Build the phases, compose the server image and publish both. Only what no earlier build made is made.\n\n" +
			"Exit codes: 0 done, 1 internal, 2 usage or pipeline, 3 input, 4 credentials, 5 registry (try again), 6 policy.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBuild(cmd, o, f) },
	}
	f.addTo(cmd.Flags())
	f.addHistory(cmd.Flags())
	cmd.Flags().StringVar(&f.tarball, "tarball", "", "write a file for docker load and OCI tools instead")
	cmd.Flags().StringArrayVar(&f.phases, "phase", nil, "build only this phase's image (may be repeated)")
	f.addSigning(cmd.Flags())
	cmd.Flags().BoolVar(&f.frozen, "frozen", false, "fail with exit code 6 instead of writing a lock that changed")
	return cmd
}

// addTo adds what build, plan, compose and verify share.
func (f *buildFlags) addTo(flags *pflag.FlagSet) {
	flags.StringVarP(&f.file, "file", "f", "pipeline.yaml", "the pipeline")
	flags.StringVar(&f.registry, "registry", "", "registry and prefix that the pipeline's repositories are below")
	flags.StringVar(&f.layout, "layout", "", "an OCI image layout in this folder instead (default without --registry: NAME.oci)")
	flags.StringArrayVar(&f.platforms, "platform", nil, "only this platform (may be repeated)")
	flags.StringArrayVar(&f.tags, "tag", nil, "tag instead of the pipeline's (may be repeated)")
	flags.StringArrayVar(&f.annotations, "annotation", nil, "KEY=VALUE, over the pipeline's annotations (may be repeated)")
	flags.StringVar(&f.profile, "profile", "", "this profile of the assets instead of the pipeline's; full is all of them")
	flags.StringVar(&f.lock, "lock", "", "lock file instead of the pipeline's")
	flags.BoolVar(&f.update, "update", false, "ask again what the tags of image sources stand for, instead of the lock")
	flags.IntVar(&f.jobs, "jobs", max(2, runtime.GOMAXPROCS(0)), "layers packed and sent at the same time")
}

// addHistory adds what decides which layers are kept.
func (f *buildFlags) addHistory(flags *pflag.FlagSet) {
	flags.StringVar(&f.from, "from", "", "image whose asset layers are kept when there is no lock file: a reference, or a tag or digest of the server's repository (default: the first tag)")
	flags.BoolVar(&f.compact, "compact", false, "plan all asset layers afresh, without deltas: for releases")
}

// addSigning adds what publishes a signature with the image.
func (f *buildFlags) addSigning(flags *pflag.FlagSet) {
	flags.StringVar(&f.signKey, "sign-key", "", "sign the image as builder sign does, with this private key")
}

func runBuild(cmd *cobra.Command, o *options, f buildFlags) error {
	j, err := prepare(cmd, o, f)
	if err != nil {
		return err
	}
	key, err := j.signer()
	if err != nil {
		return err
	}
	res, err := j.builder.Build(cmd.Context(), j.request)
	j.remember()
	if err != nil {
		return err
	}
	if err := j.finish(cmd.Context()); err != nil {
		return err
	}
	if err := j.sign(cmd.Context(), key, res); err != nil {
		return err
	}
	if err := j.keepLock(res.Lock); err != nil {
		return err
	}
	return j.printResult(cmd.OutOrStdout(), res)
}

// job is one command's builder and request.
type job struct {
	*wiring
	builder  *build.Builder
	request  build.Request
	lockFile string
	layers   *memo.Layers
	// finish completes what is written in one piece at the end.
	finish func(context.Context) error
}

func prepare(cmd *cobra.Command, o *options, f buildFlags) (*job, error) {
	log := cli.Log(cmd.Context())
	o.log = log
	var err error
	if o.cacheDir, err = filepath.Abs(o.cacheDir); err != nil {
		return nil, err
	}
	p, digest, err := readPipeline(f.file)
	if err != nil {
		return nil, err
	}
	j := &job{wiring: &wiring{options: o, flags: f, pipeline: p, digest: digest, log: log}}
	j.lockFile = j.wiring.lockFile()
	if f.lock != "" {
		j.lockFile = f.lock
	}
	prev, err := readLock(j.lockFile)
	if err != nil {
		return nil, err
	}
	layers, warn := memo.OpenLayers(o.cacheDir)
	if warn != nil {
		log.Warn("layer memory not used", "err", warn)
	}
	j.layers = layers
	if j.request, err = j.wiring.request(prev); err != nil {
		return nil, err
	}
	j.request.Compact = f.compact
	open, err := j.opener()
	if err != nil {
		return nil, err
	}
	if j.request.From, err = j.origin(open); err != nil {
		return nil, err
	}
	j.builder = &build.Builder{
		Open: open, Layers: layers, Jobs: f.jobs, Workers: runtime.GOMAXPROCS(0), Log: log, Progress: o.progress(),
	}
	return j, nil
}

// origin is the image of --from: a tag or digest of the server's repository, or a reference.
func (j *job) origin(open func(string) (builder.Repository, error)) (*build.Origin, error) {
	from := j.flags.from
	switch {
	case from == "":
		return nil, nil
	case strings.Contains(from, "/") || strings.HasPrefix(from, "oci:"):
		r, reference, err := j.options.open(from)
		name, _ := cutReference(from)
		return &build.Origin{Repository: r, Name: name, Reference: reference}, err
	}
	r, err := open(j.request.Repository)
	if err != nil {
		return nil, err
	}
	return &build.Origin{Repository: r, Name: r.Name(), Reference: from}, nil
}

// remember keeps what was learnt, also of a build that failed.
func (j *job) remember() {
	if err := j.saveMemos(j.layers); err != nil {
		j.log.Warn("what was learnt is not kept", "err", err)
	}
}

func (j *job) keepLock(l *lock.Lock) error {
	if l == nil {
		return nil
	}
	var want bytes.Buffer
	if _, err := l.WriteTo(&want); err != nil {
		return err
	}
	have, err := os.ReadFile(j.lockFile)
	switch {
	case err == nil && bytes.Equal(have, want.Bytes()):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case j.flags.frozen:
		return builder.Errorf(builder.Policy, "run the build without --frozen and commit the file", "%s would change", j.lockFile)
	}
	return writeLock(j.lockFile, want.Bytes())
}

func (j *job) printResult(w io.Writer, res *build.Result) error {
	j.log.Info("built", "ref", res.Ref, "pushed", res.PushedBytes, "mounted", res.MountedBytes, "reused", res.ReusedBytes)
	return j.options.print(w, res, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, res.Ref)
		return err
	})
}

// readPipeline returns the pipeline and its file's digest.
func readPipeline(file string) (*pipeline.Pipeline, v1.Hash, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, v1.Hash{}, builder.Errorf(builder.Config, "name the pipeline with -f", "read pipeline: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	p, err := pipeline.Parse(file, io.TeeReader(f, sum), os.DirFS(filepath.Dir(file)))
	return p, v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}, err
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
func writeLock(file string, text []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".tmp-*")
	if err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	return err
}

// opener gives the repositories that the build publishes to.
func (j *job) opener() (func(string) (builder.Repository, error), error) {
	f := j.flags
	named := 0
	for _, target := range []string{f.registry, f.layout, f.tarball} {
		if target != "" {
			named++
		}
	}
	if named > 1 {
		return nil, builder.Errorf(builder.Config, "", "--registry, --layout and --tarball exclude each other")
	}
	if f.tarball != "" && len(f.phases) > 0 {
		return nil, builder.Errorf(builder.Config, "use --layout for phase images", "--tarball holds a server image, not a phase's")
	}
	j.finish = func(context.Context) error { return nil }
	switch {
	case f.registry != "":
		client := j.options.client()
		return func(name string) (builder.Repository, error) { return client.Repository(name) }, nil
	case f.tarball != "":
		t := tarball.New(f.tarball, j.request.Repository)
		j.finish, j.request.ServerOnly = t.Write, true
		return func(string) (builder.Repository, error) { return t, nil }, nil
	}
	dir := f.layout
	if dir == "" {
		dir = j.pipeline.Metadata.Name + ".oci"
	}
	l, err := layout.Open(dir)
	if err != nil {
		return nil, err
	}
	return func(string) (builder.Repository, error) { return l, nil }, nil
}
