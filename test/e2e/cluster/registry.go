package cluster

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"path"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/pitcrew-dev/pitcrew/internal/diskregistry"
)

// CountingRegistry serves a folder of images to the nodes and counts what they fetch.
type CountingRegistry struct {
	mu     sync.Mutex
	served map[int]map[string]int64 // by node and digest
	limit  *rate.Limiter            // nil is none
}

// Serve begins to, at [Registry], for as long as the program runs.
func Serve(ctx context.Context, dir string) (*CountingRegistry, error) {
	handler, err := diskregistry.New(dir)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", Registry)
	if err != nil {
		return nil, err
	}
	r := &CountingRegistry{}
	r.Reset()
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet {
			handler.ServeHTTP(w, req)
			return
		}
		handler.ServeHTTP(&counted{w, req, r, nodeOf(req.RemoteAddr), path.Base(req.URL.Path)}, req)
	})}
	go func() { _ = server.Serve(l) }() // for as long as the program runs
	return r, nil
}

// Reset forgets what was counted.
func (r *CountingRegistry) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served = map[int]map[string]int64{}
}

// Throttle bounds what all nodes together get, in bytes a second; 0 is no bound.
func (r *CountingRegistry) Throttle(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = nil
	if bytes > 0 {
		r.limit = rate.NewLimiter(rate.Limit(bytes), chunk)
	}
}

// Served is how many bytes of each blob and manifest a node was sent. Tags count as what they are called.
func (r *CountingRegistry) Served(n *Node) map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]int64{}
	maps.Copy(all, r.served[n.index])
	return all
}

// Bytes is how many bytes a node was sent, of everything.
func (r *CountingRegistry) Bytes(n *Node) int64 {
	var sum int64
	for _, bytes := range r.Served(n) {
		sum += bytes
	}
	return sum
}

// chunk is how much is sent at once.
const chunk = 64 << 10

// counted is an answer to a node.
type counted struct {
	http.ResponseWriter
	req    *http.Request
	r      *CountingRegistry
	node   int
	digest string
}

// Write counts, and waits for its turn.
func (c *counted) Write(p []byte) (sent int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), chunk)]
		c.r.mu.Lock()
		limit := c.r.limit
		c.r.mu.Unlock()
		if limit != nil {
			if err := limit.WaitN(c.req.Context(), len(part)); err != nil {
				return sent, io.ErrClosedPipe
			}
		}
		n, err := c.ResponseWriter.Write(part)
		c.count(int64(n))
		sent += n
		if err != nil {
			return sent, err
		}
		p = p[n:]
	}
	return sent, nil
}

func (c *counted) count(n int64) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	of := c.r.served[c.node]
	if of == nil {
		of = map[string]int64{}
		c.r.served[c.node] = of
	}
	of[c.digest] += n
}
