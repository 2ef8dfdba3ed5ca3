package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// probes answer kubelet for as long as the controller runs, also while it waits for the API server: to be killed would not
// bring that back.
type probes struct {
	server *http.Server
	ended  chan error
	// ready is true once the controller can work, or stand by.
	ready atomic.Bool
}

func serveProbes(ctx context.Context, addr string, log *slog.Logger) (*probes, error) {
	p := &probes{ended: make(chan error, 1)}
	if addr == "" {
		close(p.ended)
		return p, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve probes: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !p.ready.Load() {
			http.Error(w, "waiting for the API server", http.StatusServiceUnavailable)
		}
	})
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { p.ended <- p.server.Serve(listener) }() // close joins it
	log.Info("probes are served", "listen", listener.Addr().String())
	return p, nil
}

func (p *probes) close() error {
	if p.server == nil {
		return nil
	}
	closed := p.server.Close()
	if err := <-p.ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return closed
}
