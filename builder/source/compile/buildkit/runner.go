// Package buildkit runs a phase's command in a BuildKit daemon: in a container of an image that has the tools, instead of
// on this machine.
//
// The sources go to the daemon over the client's session, at the paths that they have here, and of what the command leaves
// there only the outputs come back. HOME and TMPDIR are empty folders. BuildKit keeps what it ran: the same command on the
// same sources is not run twice. The daemon pulls the image by itself, by digest, with this user's credentials.
package buildkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/tonistiigi/fsutil"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/compile"
)

// Options are what a pipeline and its caller can say about a daemon. Addr, Image and Open are required.
type Options struct {
	// Addr is where the daemon listens: unix:///PATH or tcp://HOST:PORT.
	Addr string
	// CA, Cert and Key are PEM files for TLS: who may sign the daemon's certificate, and what this client shows. All or
	// none.
	CA, Cert, Key string
	// Image is the name of the image with the tools, with a tag or a digest, as the daemon pulls it.
	Image string
	// Open finds the repository that an image is in, and the tag or digest that it has there.
	Open func(ctx context.Context, ref string) (repository builder.Reader, reference string, err error)
}

// Runner is a [compile.Runner].
type Runner struct{ options Options }

// New makes a runner. It connects to nothing.
func New(options Options) *Runner { return &Runner{options: options} }

// Tools is the image, with the digest that it has now. It is an error of kind Input if there is no such image.
func (r *Runner) Tools(ctx context.Context) (builder.Pin, error) {
	repository, reference, err := r.options.Open(ctx, r.options.Image)
	if err != nil {
		return builder.Pin{}, fmt.Errorf("buildkit.image %s: %w", r.options.Image, err)
	}
	d, err := repository.Head(ctx, reference)
	if errors.Is(err, builder.ErrNotFound) {
		err = builder.Errorf(builder.Input, "check the image's name and tag, and that it was pushed", "%w", err)
	}
	if err != nil {
		return builder.Pin{}, fmt.Errorf("buildkit.image %s: %w", r.options.Image, err)
	}
	return builder.Pin{Name: r.options.Image, Digest: d.Digest}, nil
}

// Run implements [compile.Runner]. It is an error of kind Transient if the daemon does not answer, and of kind Input if it
// cannot run the platform's programs. When ctx ends before the command, the daemon stops it by itself, soon; it
// writes nothing here any more.
func (r *Runner) Run(ctx context.Context, job compile.Job) error {
	image, _, _ := strings.Cut(job.Tools.Name, "@")
	c, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	platform, err := r.platform(ctx, c, job)
	if err != nil {
		return err
	}
	def, err := definition(ctx, job, image+"@"+job.Tools.Digest.String(), platform)
	if err != nil {
		return err
	}
	outputs := filepath.Join(filepath.Dir(job.Work), "outputs")
	if err := r.solve(ctx, c, def, job, outputs); err != nil {
		return err
	}
	if err := os.RemoveAll(job.Work); err != nil {
		return fmt.Errorf("take outputs: %w", err)
	}
	if err := os.Rename(outputs, job.Work); err != nil {
		return fmt.Errorf("take outputs: %w", err)
	}
	return nil
}

// solve runs the definition and puts what is left into outputs, which it makes.
func (r *Runner) solve(ctx context.Context, c *client.Client, def *llb.Definition, job compile.Job, outputs string) error {
	work, err := fsutil.NewFS(job.Work)
	if err != nil {
		return fmt.Errorf("open scratch folder: %w", err)
	}
	status := make(chan *client.SolveStatus)
	access, err := credentials()
	if err != nil {
		return err
	}
	logged := make(chan error, 1)
	go func() { logged <- copyLogs(job, status) }() // Solve closes status
	_, err = c.Solve(ctx, def, client.SolveOpt{
		LocalMounts: map[string]fsutil.FS{workMount: work},
		Exports:     []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: outputs}},
		Session:     access,
	}, status)
	if err != nil {
		err = r.failure(ctx, c, err)
	}
	return errors.Join(err, <-logged)
}

// copyLogs writes what the command prints. It goes on to the end whatever happens, or Solve would wait for it.
func copyLogs(job compile.Job, status <-chan *client.SolveStatus) (err error) {
	for s := range status {
		for _, l := range s.Logs {
			if err == nil {
				_, err = job.Log.Write(l.Data)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// failure tells a command that failed from a daemon that did, and that from one that is gone.
func (r *Runner) failure(ctx context.Context, c *client.Client, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if exit, ok := errors.AsType[*gateway.ExitError](err); ok {
		return builder.Errorf(builder.Input, "", "exit status %d", exit.ExitCode)
	}
	if _, gone := r.workers(ctx, c); gone != nil {
		return gone
	}
	return builder.Errorf(builder.Input, "see that the daemon can pull "+r.options.Image+" and has room, in its own log",
		"BuildKit daemon at %s: %w", r.options.Addr, err)
}
