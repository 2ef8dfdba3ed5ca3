package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/sidecartest"
)

func devServerCommand() *cobra.Command {
	var grpcPort, httpPort uint16
	var capacity int64
	c := &cobra.Command{
		Use:   "dev-server",
		Short: "An Agones in memory for one game server: gRPC and REST as the real SDK server, and what a matchmaker does",
		Long: `An Agones in memory for one game server. It speaks the SDK over gRPC and REST and behaves as the real SDK server and controller do, health
included. What a cluster would do to the game server is asked for by HTTP on the REST port:
  POST /dev/allocate     a matchmaker claims it
  POST /dev/delete       it gets a deletion timestamp
  POST /dev/overflow     its Fleet wants to see it end after the match (label pitcrew.dev/overflow)
  POST /dev/restart      the SDK server dies and comes back, and has lost what it had not written`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return serveDev(c, grpcPort, httpPort, capacity)
		},
	}
	c.Flags().Uint16Var(&grpcPort, "grpc-port", 9357, "where gRPC is served, on loopback; 0: a free port")
	c.Flags().Uint16Var(&httpPort, "http-port", 9358, "where REST is served, on loopback; 0: a free port")
	c.Flags().Int64Var(&capacity, "players-capacity", 8, "capacity of the list players")
	return c
}

func serveDev(c *cobra.Command, grpcPort, httpPort uint16, capacity int64) error {
	log := cli.Log(c.Context())
	grpcListener, err := loopback(c.Context(), grpcPort)
	if err != nil {
		return err
	}
	httpListener, err := loopback(c.Context(), httpPort)
	if err != nil {
		_ = grpcListener.Close() // the other's error counts
		return err
	}
	s := sidecartest.New(sidecartest.Options{Log: log, GameServer: sidecar.GameServer{
		Name:     "dev",
		Ports:    []sidecar.Port{{Name: "default", Port: 7000}},
		Lists:    map[string]sidecar.List{"players": {Capacity: capacity}},
		Counters: map[string]sidecar.Counter{"races": {Capacity: 1_000_000}},
	}})
	defer s.Close()
	s.ServeOn(grpcListener)
	log.Info("SDK server started", "grpc", grpcListener.Addr().String(), "rest", httpListener.Addr().String())
	server := &http.Server{Handler: devHandler(c.Context(), s, grpcListener.Addr().String()), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(c.Context(), func() { _ = server.Close() }) // Serve reports it
	defer stop()
	if err := server.Serve(httpListener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func loopback(ctx context.Context, port uint16) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
}

// devHandler adds what a cluster does to the SDK's own REST interface.
func devHandler(ctx context.Context, s *sidecartest.Server, grpcAddress string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.REST())
	do := func(pattern string, what func() error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			if err := what(); err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
			}
		})
	}
	do("POST /dev/allocate", func() error {
		if !s.Allocate(sidecartest.Allocation{}) {
			return errors.New("only a GameServer that is Ready or Allocated can be allocated; it is " + string(s.GameServer().State))
		}
		return nil
	})
	do("POST /dev/delete", func() error { s.Delete(); return nil })
	do("POST /dev/overflow", func() error {
		s.Overflow(map[string]string{sidecar.DefaultPolicy().OverflowKey: "true"}, nil)
		return nil
	})
	do("POST /dev/restart", func() error {
		s.Stop()
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", grpcAddress)
		if err == nil {
			s.ServeOn(l)
		}
		return err
	})
	return mux
}
