package buildkit

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/docker/cli/cli/config"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/compile"
)

// answerTime is how long a daemon may take to say what it can run.
const answerTime = 30 * time.Second

func (r *Runner) connect(ctx context.Context) (*client.Client, error) {
	var options []client.ClientOpt
	if r.options.CA != "" {
		options = append(options, client.WithServerConfig("", r.options.CA), client.WithCredentials(r.options.Cert, r.options.Key))
	}
	c, err := client.New(ctx, r.options.Addr, options...)
	if err != nil {
		return nil, builder.Errorf(builder.Config, "correct buildkit.addr and the files for TLS", "BuildKit daemon at %s: %w", r.options.Addr, err)
	}
	return c, nil
}

// workers also tells whether the daemon is there.
func (r *Runner) workers(ctx context.Context, c *client.Client) ([]*client.WorkerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	workers, err := c.ListWorkers(ctx)
	if err != nil {
		return nil, builder.Errorf(builder.Transient, "see that buildkitd runs there, and that addr and tls are right",
			"BuildKit daemon at %s does not answer: %w", r.options.Addr, err)
	}
	return workers, nil
}

// platform is the one that the command's container has: that of the files it makes or, with a cross toolchain, the daemon's
// own.
func (r *Runner) platform(ctx context.Context, c *client.Client, job compile.Job) (ocispec.Platform, error) {
	workers, err := r.workers(ctx, c)
	if err != nil {
		return ocispec.Platform{}, err
	}
	var names []string
	for _, w := range workers {
		for _, p := range w.Platforms {
			if job.Cross || runs(p, job.Platform) {
				return p, nil
			}
			names = append(names, p.OS+"/"+p.Architecture)
		}
	}
	return ocispec.Platform{}, builder.Errorf(builder.Input,
		"run that platform's build with a daemon of its own, or say under perPlatform that the image has a cross toolchain (cross: true)",
		"BuildKit daemon at %s runs %s, not %s", r.options.Addr, strings.Join(slices.Compact(names), ", "), job.Platform)
}

func runs(p ocispec.Platform, want v1.Platform) bool {
	return p.OS == want.OS && p.Architecture == want.Architecture && (want.Variant == "" || p.Variant == want.Variant)
}

// credentials are for the image's registry, as docker login left them.
func credentials() ([]session.Attachable, error) {
	file, err := config.Load(config.Dir())
	if err != nil {
		return nil, builder.Errorf(builder.Config, "mend that file, or log in again", "credentials of registries: %w", err)
	}
	return []session.Attachable{authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: authprovider.LoadAuthConfig(file),
	})}, nil
}
