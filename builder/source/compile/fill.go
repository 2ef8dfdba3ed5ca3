package compile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

// errTimeout is the cause of a context that ended because of Options.Timeout.
var errTimeout = errors.New("timeout")

// fill runs the command and adds its outputs.
func (r *Resolved) fill(ctx context.Context, key v1.Hash, w *pack.Writer) (err error) {
	s, err := r.openScratch(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := r.layOut(ctx, s.work()); err != nil {
		return err
	}
	if err := r.makeWorkingDir(s.work()); err != nil {
		return err
	}
	if err := r.runCommand(ctx, s, key); err != nil {
		return err
	}
	endProcesses(s.dir) // or they would write into the outputs
	return r.collect(ctx, s, w)
}

func (r *Resolved) makeWorkingDir(work string) error {
	root, err := os.OpenRoot(work)
	if err != nil {
		return fmt.Errorf("open scratch folder: %w", err)
	}
	defer root.Close()
	dir := filepath.FromSlash(r.options.WorkingDir)
	if dir == "" {
		return nil
	}
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return builder.Errorf(builder.Input, "name a folder of the sources, or one that is not there", "working folder: %w", err)
	}
	return nil
}

func (r *Resolved) runCommand(ctx context.Context, s *scratch, key v1.Hash) (err error) {
	log, err := r.openLog(key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if r.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.options.Timeout, errTimeout)
		defer cancel()
	}
	job := Job{
		Work: s.work(), Dir: r.options.WorkingDir, Command: r.options.Command, Env: r.environment(s.dir),
		Platform: r.platform, Cross: r.options.Cross, Tools: r.tools, Log: log,
	}
	for _, o := range r.options.Outputs {
		job.Outputs = append(job.Outputs, o.Path)
	}
	start := time.Now()
	r.options.log().Info("running", "command", job.Command[0], "platform", r.platform.String(), "log", log.Name())
	if err := r.runner()(ctx, job); err != nil {
		return r.commandError(ctx, log.Name(), err)
	}
	r.options.log().Info("ran", "command", job.Command[0], "platform", r.platform.String(), "seconds", int(time.Since(start).Seconds()))
	return nil
}

func (r *Resolved) runner() func(context.Context, Job) error {
	if r.options.Runner != nil {
		return r.options.Runner.Run
	}
	return local{}.run
}

// commandError says which command failed, how, and what it said last.
func (r *Resolved) commandError(ctx context.Context, log string, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		return builder.Errorf(builder.Input, "raise timeout, or see in "+log+" what takes so long",
			"command %q did not end within %s\n%s", r.options.Command, r.options.Timeout, tail(log))
	case ctx.Err() != nil:
		return fmt.Errorf("command %q: %w", r.options.Command, ctx.Err())
	case builder.KindOf(err) == builder.Input && hint(err) == "": // it ran
		return builder.Errorf(builder.Input, "the whole log is "+log, "command %q: %w\n%s", r.options.Command, err, tail(log))
	}
	return fmt.Errorf("command %q: %w (log: %s)", r.options.Command, err, log)
}

func hint(err error) string {
	if e, ok := errors.AsType[*builder.Error](err); ok {
		return e.Hint
	}
	return ""
}
