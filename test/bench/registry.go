package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/counted"
)

// registry is Debian's docker-registry behind a proxy that counts.
type registry struct {
	host string
	// backend is the registry itself: nobody counts there, or slows anybody down.
	backend  string
	dir      string
	requests atomic.Int64
	received atomic.Int64
	sent     atomic.Int64
	stop     func()
}

const registryConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: %s}
`

func startRegistry(ctx context.Context, work string) (*registry, error) {
	dir, err := os.MkdirTemp(work, "registry-")
	if err != nil {
		return nil, err
	}
	backend, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, registryConfig, dir, backend), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "docker-registry", "serve", config)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (apt-get install docker-registry)", err)
	}
	r := &registry{backend: backend, dir: dir}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.host = listener.Addr().String()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		req.Body = counted.Body(req.Body, &r.received)
		proxy.ServeHTTP(counted.Answer(w, &r.sent), req) // the Host stays the proxy's, so that Locations lead here
	})}
	go func() { _ = server.Serve(listener) }() // ends with stop
	r.stop = func() {
		_ = server.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	return r, waitFor(ctx, "http://"+backend+"/v2/")
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func waitFor(ctx context.Context, address string) error {
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		resp, err := http.Get(address)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%s does not answer", address)
}
