package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
)

const wholeGame = "examples/supertuxkart/pipeline.yaml"

type options struct {
	pipeline, platform, profile, doc string
	parallel                         int
}

func main() {
	if os.Getenv(holdEnv) != "" {
		os.Exit(hold())
	}
	var o options
	flag.StringVar(&o.pipeline, "pipeline", wholeGame, "what the server is built of; the bots are the packaged game")
	flag.StringVar(&o.platform, "platform", "linux/"+runtime.GOARCH, "of the server")
	flag.StringVar(&o.profile, "profile", "server", "what the server has of the assets")
	flag.StringVar(&o.doc, "doc", "", "also write the table to this file")
	flag.IntVar(&o.parallel, "parallel", 2, "rounds at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "races: error:", err)
		os.Exit(1)
	}
}

func (o options) run(ctx context.Context) (err error) {
	arch := filepath.Base(o.platform)
	if err := container.Supported(arch, runtime.GOARCH); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("networks of their own need root")
	}
	dir, err := os.MkdirTemp("", "pitcrew-races-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := build(ctx, o.pipeline, o.profile, o.platform, filepath.Join(dir, "server"))
	if err != nil {
		return err
	}
	bots, err := build(ctx, wholeGame, "full", "linux/"+runtime.GOARCH, filepath.Join(dir, "bots"))
	if err != nil {
		return err
	}
	rounds, err := calendar(filepath.Join(bots.root, tracksDir))
	if err != nil {
		return err
	}
	field := field{server: server, bots: bots, dir: dir, patience: 4 * time.Minute}
	if arch != runtime.GOARCH {
		field.patience = 20 * time.Minute // an emulated server loads its tracks slowly
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(o.parallel)
	results := make([]result, len(rounds))
	for i, r := range rounds {
		group.Go(func() error {
			results[i] = field.play(groupCtx, r)
			fmt.Printf("%-18s %-28s %s\n", r.mode.name, r.track, results[i].verdict())
			return groupCtx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return o.report(server, bots, results)
}
