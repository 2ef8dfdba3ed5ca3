package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/pflag"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/generic"
	"github.com/pitcrew-dev/pitcrew/sidecar/ops"
	"github.com/pitcrew-dev/pitcrew/sidecar/runner"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
	"github.com/pitcrew-dev/pitcrew/sidecar/stk"
)

// The games that there are adapters for.
const (
	gameSTK     = "stk"
	gameGeneric = "generic"
)

// genericFlags are those of the game generic.
type genericFlags struct {
	protocol, file string
	patterns       generic.Patterns
	given          func(flag string) bool
}

func (g *genericFlags) add(f *pflag.FlagSet) {
	f.StringVar(&g.protocol, "game-protocol", string(socket.UDP), "with --game generic, what the game speaks on its port: udp or tcp")
	f.StringVar(&g.file, "game-patterns", "", "with --game generic, the YAML file that says what the lines of its log mean")
	g.given = f.Changed
}

// checkGame finds what is wrong with the flags of the game, and reads its patterns.
func (o *runOptions) checkGame() []error {
	switch o.game {
	case gameSTK:
		return o.generic.unused()
	case gameGeneric:
		return o.checkGeneric()
	}
	return []error{fmt.Errorf("game %q is not known: use stk or generic", o.game)}
}

func (g *genericFlags) unused() (faults []error) {
	if g.file != "" {
		faults = append(faults, errors.New("game-patterns: only with --game generic"))
	}
	if g.protocol != string(socket.UDP) {
		faults = append(faults, fmt.Errorf("game-protocol %q: only with --game generic", g.protocol))
	}
	return faults
}

func (o *runOptions) checkGeneric() (faults []error) {
	g := &o.generic
	if !g.given("game-port") {
		faults = append(faults, errors.New("game-port: name the port of the game"))
	}
	if !g.given("log") {
		o.log = "" // the default is STK's
	}
	if p := socket.Protocol(g.protocol); p != socket.UDP && p != socket.TCP {
		faults = append(faults, fmt.Errorf("game-protocol %q: use udp or tcp", g.protocol))
	}
	if g.file != "" {
		if err := g.read(); err != nil {
			return append(faults, err) // what follows depends on it
		}
	}
	if g.patterns.ReadsLog() && o.log == "" {
		faults = append(faults, errors.New("game-patterns without log: name the file that they are for"))
	}
	if o.policy.Allocation == sidecar.ByPlayer && !g.patterns.KnowsPlayers() {
		faults = append(faults, errors.New("allocation self: nothing tells when a player comes; give game-patterns with join and leave, or with a count"))
	}
	return faults
}

func (g *genericFlags) read() error {
	file, err := os.ReadFile(g.file)
	if err != nil {
		return fmt.Errorf("game-patterns: %w", err)
	}
	if g.patterns, err = generic.Parse(file); err != nil {
		return fmt.Errorf("game-patterns %s: %w", g.file, err)
	}
	return nil
}

// watched is the adapter for the game.
func (o *runOptions) watched(log *slog.Logger, m *ops.Metrics) runner.Game {
	if o.game == gameGeneric {
		return generic.New(generic.Options{
			Port: o.port, Protocol: socket.Protocol(o.generic.protocol), Log: o.log, Patterns: o.generic.patterns, Logger: log,
			Observed: generic.Observed{Line: m.Line, Asked: m.Asked, Socket: m.Socket},
		})
	}
	return stk.New(stk.Options{
		Port: o.port, Log: o.log, Query: o.query, Logger: log,
		Observed: stk.Observed{Line: m.Line, Asked: m.Asked, Socket: m.Socket},
	})
}
