package buildkit

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pitcrew-dev/pitcrew/builder/source/compile"
)

// workMount is the session's name for the sources.
const workMount = "work"

// definition is the job as BuildKit takes it: the command in a container of the image, and of the work folder
// that it leaves what somebody will look at.
func definition(ctx context.Context, job compile.Job, image string, platform ocispec.Platform) (*llb.Definition, error) {
	state := llb.Image(image, llb.Platform(platform)).Dir(path.Join(job.Work, job.Dir))
	for _, k := range slices.Sorted(maps.Keys(job.Env)) {
		state = state.AddEnv(k, job.Env[k])
	}
	run := state.Run(llb.Args(job.Command), llb.WithCustomName(strings.Join(job.Command, " ")))
	for _, name := range []string{"HOME", "TMPDIR"} {
		run.AddMount(job.Env[name], llb.Scratch(), llb.ForceNoOutput)
	}
	work := run.AddMount(job.Work, llb.Local(workMount, llb.SharedKeyHint(job.Work)))
	outputs := llb.Scratch().File(llb.Copy(work, "/", "/", &llb.CopyInfo{CopyDirContentsOnly: true, IncludePatterns: patterns(job.Outputs)}))
	def, err := outputs.Marshal(ctx, llb.Platform(platform))
	if err != nil {
		return nil, fmt.Errorf("definition for BuildKit: %w", err)
	}
	return def, nil
}

// patterns match the very paths, and what is below them.
func patterns(paths []string) []string {
	escape := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `!`, `\!`)
	var out []string
	for _, p := range paths {
		out = append(out, escape.Replace(p))
	}
	return out
}
