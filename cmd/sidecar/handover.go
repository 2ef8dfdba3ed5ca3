package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/agones"
	"github.com/pitcrew-dev/pitcrew/sidecar/handover"
	"github.com/pitcrew-dev/pitcrew/sidecar/process"
	"github.com/pitcrew-dev/pitcrew/sidecar/runner"
)

// start starts the game; one that has templates waits for the GameServer, for as long as it may take to serve.
func (o *runOptions) start(c *cobra.Command, argv []string, client *agones.Client) (*process.Process, error) {
	var env []string
	if len(o.templates) > 0 {
		var err error
		if env, err = o.render(c.Context(), client); err != nil {
			return nil, err
		}
	}
	return process.Start(c.Context(), argv, env, c.OutOrStdout(), c.ErrOrStderr())
}

func (o *runOptions) render(ctx context.Context, client *agones.Client) (env []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.policy.StartTimeout)
	defer cancel()
	g, err := client.GameServer(ctx)
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	for _, text := range o.templates {
		t, err := handover.ParseTemplate(text)
		if err == nil {
			err = t.Render(g)
		}
		if err != nil {
			return nil, err
		}
	}
	return handover.Environ(handover.Variables(g)), nil
}

// telling keeps the environment file up to date with what sdk sees.
func (o *runOptions) telling(sdk runner.SDK, log *slog.Logger) runner.SDK {
	if o.envFile == "" {
		return sdk
	}
	return keptSDK{sdk, handover.NewKeeper(o.envFile, log)}
}

type keptSDK struct {
	runner.SDK
	keeper *handover.Keeper
}

func (k keptSDK) Run(ctx context.Context, seen func(sidecar.GameServer)) error {
	return k.SDK.Run(ctx, func(g sidecar.GameServer) {
		k.keeper.Seen(g)
		seen(g)
	})
}
