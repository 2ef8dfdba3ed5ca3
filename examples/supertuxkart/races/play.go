package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
)

// What STK's log says when a game begins and when it is over.
const (
	begun = "ServerLobby: Max ping from peers"
	over  = "ServerLobby: The game is considered finished."
)

// played is how long a game without an end has to go well.
const played = 20 * time.Second

// field is what rounds are played with.
type field struct {
	server, bots image
	dir          string
	patience     time.Duration // with one game
}

// result is what a round came to. complaints counts the log's lines of level error or worse by who wrote them.
type result struct {
	round
	err        error
	seconds    float64
	complaints map[string]int
}

func (r result) verdict() string {
	if r.err != nil {
		return "FAILED: " + r.err.Error()
	}
	return fmt.Sprintf("ok in %.0f s", r.seconds)
}

func (f field) play(ctx context.Context, r round) result {
	start := time.Now()
	complaints, err := f.tryPlay(ctx, r)
	return result{round: r, err: err, seconds: time.Since(start).Seconds(), complaints: complaints}
}

func (f field) tryPlay(ctx context.Context, r round) (complaints map[string]int, err error) {
	dir, err := os.MkdirTemp(f.dir, "round-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	network, release, err := newNetwork(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()

	server, err := f.startServer(ctx, r, dir, network)
	if err != nil {
		return nil, err
	}
	err = f.race(ctx, r, dir, network, server)
	err = errors.Join(err, server.Stop(context.WithoutCancel(ctx), 10*time.Second))
	complaints, cerr := complaintsOf(server.Log)
	return complaints, errors.Join(err, cerr)
}

// always is a track for modes with laps that is there in the other modes, too, where it is never chosen: STK crashes when it
// starts without any such track.
const always = "abyss"

// startServer starts the server of the round with no other track that it could choose.
func (f field) startServer(ctx context.Context, r round, dir, network string) (*container.Server, error) {
	config, only, bundle := filepath.Join(dir, "server_config.xml"), filepath.Join(dir, "tracks"), filepath.Join(dir, "server")
	if err := os.WriteFile(config, []byte(container.Config(map[string]string{"server-mode": strconv.Itoa(r.mode.number)})), 0o644); err != nil { //nolint:gosec // another user reads it
		return nil, err
	}
	if err := os.Mkdir(bundle, 0o755); err != nil {
		return nil, err
	}
	tracks := []string{r.track}
	if !r.mode.ends {
		tracks = append(tracks, always)
	}
	for _, t := range tracks {
		err := os.CopyFS(filepath.Join(only, t), os.DirFS(filepath.Join(f.server.root, tracksDir, t)))
		if err != nil {
			return nil, err
		}
	}
	return container.Start(ctx, f.server.root, bundle, f.server.config, container.Network(network),
		container.ReadOnly(config, "/etc/stk/server_config.xml"), container.ReadOnly(only, "/"+tracksDir))
}

// race lets bots play one game on the server.
func (f field) race(ctx context.Context, r round, dir, network string, server *container.Server) (err error) {
	ctx, cancel := context.WithTimeout(ctx, f.patience)
	defer cancel()
	if _, err := server.WaitListening(ctx); err != nil {
		return err
	}
	bundle := filepath.Join(dir, "bots")
	if err := os.Mkdir(bundle, 0o755); err != nil {
		return err
	}
	bots, err := container.Start(ctx, f.bots.root, bundle, f.bots.config, container.Network(network),
		container.Args("/usr/games/supertuxkart", "--connect-now=127.0.0.1:2759", "--network-ai=4", "--no-graphics"))
	if err != nil {
		return err
	}
	defer func() { _ = bots.Stop(context.WithoutCancel(ctx), 10*time.Second) }() // how bots end says nothing about the server
	if _, err := server.WaitLine(ctx, begun); err != nil {
		return err
	}
	if r.mode.ends {
		_, err := server.WaitLine(ctx, over)
		return err
	}
	return server.Runs(ctx, played)
}

// complaintsOf counts what a log says of level error or fatal, by the part of the game that says it.
func complaintsOf(log string) (map[string]int, error) {
	raw, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for line := range strings.Lines(string(raw)) {
		_, rest, isError := strings.Cut(line, "[error  ] ")
		if !isError {
			_, rest, isError = strings.Cut(line, "[fatal  ] ")
		}
		if isError {
			who, _, _ := strings.Cut(rest, ":")
			counts[strings.TrimSpace(who)]++
		}
	}
	return counts, nil
}
