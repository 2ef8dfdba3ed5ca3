package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/agones"
	"github.com/pitcrew-dev/pitcrew/sidecar/handover"
	"github.com/pitcrew-dev/pitcrew/sidecar/ops"
	"github.com/pitcrew-dev/pitcrew/sidecar/process"
	"github.com/pitcrew-dev/pitcrew/sidecar/runner"
	"github.com/pitcrew-dev/pitcrew/sidecar/stk"
)

// runOptions are the flags of run.
type runOptions struct {
	policy     sidecar.Policy
	game       string
	port       uint16
	log        string
	query      string
	sdkAddress string
	listen     string
	drainToken string
	envFile    string
	templates  []string
	generic    genericFlags
}

func runCommand(game *exit, getenv func(string) string) *cobra.Command {
	o := runOptions{policy: sidecar.DefaultPolicy()}
	c := &cobra.Command{
		Use:   "run [flags] [-- COMMAND ARGS...]",
		Short: "Watch a game server and speak to Agones for it; with a command, start it, too",
		RunE: func(c *cobra.Command, argv []string) error {
			if err := o.check(argv); err != nil {
				return err
			}
			return o.run(c, argv, game)
		},
	}
	f := c.Flags()
	f.StringVar(&o.game, "game", "stk", "which game it is: stk, or generic for any other")
	o.generic.add(f)
	f.Uint16Var(&o.port, "game-port", 2759, "the port that the game was told to serve on")
	f.StringVar(&o.log, "log", defaultLog(getenv), "the game's log file")
	f.StringVar(&o.query, "query-address", net.JoinHostPort("127.0.0.1", strconv.Itoa(stk.QueryPort)), "where the game answers the LAN query")
	f.StringVar(&o.sdkAddress, "sdk-address", sdkAddress(getenv), "HOST:PORT of the Agones SDK server")
	f.StringVar(&o.listen, "listen", ":9096", "where metrics, probes and the preStop hook are served")
	f.StringVar(&o.drainToken, "drain-token", "", "what /prestop and /drain want in the header Authorization: Bearer TOKEN; empty: nothing")
	f.StringVar(&o.envFile, "env-file", "", "keep a file with what Agones says of the GameServer, as NAME='VALUE' lines, for the game")
	f.StringArrayVar(&o.templates, "template", nil, "FROM=TO: before the command starts, make the file TO of the template FROM and the GameServer")
	p := &o.policy
	f.StringVar((*string)(&p.Allocation), "allocation", string(p.Allocation), "who claims the server: matchmaker, or self for its first player")
	f.StringVar((*string)(&p.WhenEmpty), "when-empty", string(p.WhenEmpty), "what follows when all players have left: shutdown or ready")
	f.StringVar((*string)(&p.WhenUnjoined), "when-unjoined", string(p.WhenUnjoined), "what follows when nobody joins after an allocation: shutdown or ready")
	for _, d := range []struct {
		to         *time.Duration
		name, help string
	}{
		{&p.EmptyGrace, "empty-grace", "how long an empty server waits for its players to come back"},
		{&p.JoinTimeout, "join-timeout", "how long an allocated server waits for its first player; 0: for ever"},
		{&p.ReservationTTL, "reservation-ttl", "how long a value that an allocation put into the list waits for its player"},
		{&p.LivenessWindow, "liveness-window", "how long a sign of life counts; 0: derived from the GameServer's health settings"},
		{&p.StartTimeout, "start-timeout", "how long the game may take to serve; health ends with it"},
		{&p.NeverReady, "never-ready", "when a server that does not get ready is shut down; 0: never"},
		{&p.MaxSession, "max-session", "when a session is drained; 0: never"},
		{&p.MaxAge, "max-age", "when a server that nobody claimed is shut down; 0: never"},
		{&p.DrainTimeout, "drain-timeout", "how long a drain waits for the match"},
		{&p.LobbyGrace, "lobby-grace", "how long a drain waits for players in the lobby"},
	} {
		f.DurationVar(d.to, d.name, *d.to, d.help)
	}
	f.StringVar(&p.OverflowKey, "overflow-key", p.OverflowKey, "label or annotation of the Fleet's allocationOverflow")
	f.BoolVar(&p.ExposeNames, "expose-player-names", false, "put players' names into the GameServer's list: they are personal data")
	f.StringVar(&p.List, "list", p.List, "the GameServer's list of players")
	f.StringVar(&p.Counter, "counter", p.Counter, "the GameServer's counter of matches")
	return c
}

// defaultLog is where STK writes with the environment that this process has.
func defaultLog(getenv func(string) string) string {
	config := getenv("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(getenv("HOME"), ".config")
	}
	return filepath.Join(config, "supertuxkart", "config-0.10", "server_config.log")
}

func sdkAddress(getenv func(string) string) string {
	host, port := getenv("AGONES_SDK_GRPC_HOST"), getenv("AGONES_SDK_GRPC_PORT")
	if host == "" {
		host = "localhost"
	}
	if port == "" {
		port = "9357"
	}
	return net.JoinHostPort(host, port)
}

// forbidden are the ports of the SDK server, in the same network.
var forbidden = []string{"8080", "9357", "9358"}

func (o *runOptions) check(argv []string) error {
	faults := []error{o.policy.Validate()}
	faults = append(faults, o.checkGame()...)
	if o.port == 0 {
		faults = append(faults, errors.New("game-port 0: name the port that the game was told to serve on"))
	}
	_, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		faults = append(faults, fmt.Errorf("listen %q: write HOST:PORT or :PORT", o.listen))
	}
	for _, taken := range forbidden {
		if port == taken {
			faults = append(faults, fmt.Errorf("listen %q: the Agones SDK server has this port in the pod", o.listen))
		}
	}
	if len(argv) > 0 && argv[0] == "" {
		faults = append(faults, errors.New("the command is empty"))
	}
	if len(argv) == 0 && len(o.templates) > 0 {
		faults = append(faults, errors.New("template: only before a command that the sidecar starts; beside a game use env-file"))
	}
	for _, text := range o.templates {
		if _, err := handover.ParseTemplate(text); err != nil {
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return misuse{err}
	}
	return nil
}

// misuse is a fault of the command line.
type misuse struct{ error }

// ExitCode is that of the other commands.
func (misuse) ExitCode() int { return 2 }

func (o *runOptions) run(c *cobra.Command, argv []string, game *exit) error {
	log := cli.Log(c.Context())
	listener, err := new(net.ListenConfig).Listen(c.Context(), "tcp", o.listen)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := ops.NewMetrics(registry, o.policy.List)
	client, err := agones.New(o.sdkAddress, agones.Options{Log: log, Called: metrics.Called, Reopened: metrics.Reopened})
	if err != nil {
		_ = listener.Close() // the client's error counts
		return err
	}
	r := runner.New(o.policy, o.telling(client, log), o.watched(log, metrics), log, metrics.Did)
	var child *process.Process
	if len(argv) > 0 {
		if child, err = o.start(c, argv, client); err != nil {
			_, _ = client.Close(), listener.Close() // the game's error counts
			return err
		}
	}
	log.Info("sidecar started", "version", version, "listen", listener.Addr().String(), "sdk", o.sdkAddress, "gamePort", o.port, "wraps", len(argv) > 0)
	server := &http.Server{Handler: ops.Handler(r, registry, ops.Options{Grace: o.policy.DrainTimeout + time.Minute, Token: o.drainToken}), ReadHeaderTimeout: 5 * time.Second}
	return o.live(c.Context(), r, server, listener, child, game, log)
}

// live runs everything until the game ends or the signal to end was obeyed. Signals ask for a drain: the context that they
// cancel is not the one that the parts run in.
func (o *runOptions) live(signaled context.Context, r *runner.Runner, server *http.Server, l net.Listener, child *process.Process, game *exit, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(signaled))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.Run(ctx) })
	group.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		defer cancel()
		defer server.Close()
		o.wait(ctx, signaled, r, child, game, log)
		return nil
	})
	return group.Wait()
}

// wait returns when it is over, and the game, if it is our child, has ended.
func (o *runOptions) wait(ctx, signaled context.Context, r *runner.Runner, child *process.Process, game *exit, log *slog.Logger) {
	var ended <-chan struct{}
	if child != nil {
		ended = child.Done()
	}
	select {
	case <-signaled.Done():
		r.Tell(ctx, sidecar.Drain{Reason: "signal"})
		o.drained(ctx, r, child, ended)
	case <-ended:
	case <-ctx.Done():
	}
	if child == nil {
		return
	}
	stop(child)
	code, how := child.Exit()
	*game = exit{known: true, code: code}
	log.Info("the game ended", "exitCode", code, "how", how)
	r.Tell(ctx, sidecar.Exited{Reason: how})
	select {
	case <-r.Over():
	case <-ctx.Done():
	}
}

// drained waits for the end of a drain. Without a child the game may be gone already: a pod's sidecars end after its game.
func (o *runOptions) drained(ctx context.Context, r *runner.Runner, child *process.Process, ended <-chan struct{}) {
	gone := time.NewTicker(time.Second)
	defer gone.Stop()
	for {
		select {
		case <-r.Released():
			return
		case <-ended:
			return
		case <-gone.C:
			if child == nil && !r.State().Serving {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// stop ends the game as kubelet would, unless it has ended.
func stop(child *process.Process) {
	select {
	case <-child.Done():
		return
	default:
	}
	child.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { child.Signal(os.Kill) })
	defer kill.Stop()
	<-child.Done()
}
