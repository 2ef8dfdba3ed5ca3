package registry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/bell"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/registry/auth"
	"github.com/pitcrew-dev/pitcrew/warmer/registry/hosts"
)

// Defaults of [Options].
const (
	DefaultParallel = 4
	DefaultChunk    = 2 << 20
	DefaultAttempts = 6
	DefaultStall    = 30 * time.Second
)

// Credentials say where credentials are.
type Credentials = auth.Credentials

// Options say how to reach registries. The zero value is ready to use.
type Options struct {
	// HostsDir is containerd's certs.d; "" means that there is none. It is read anew for each call.
	HostsDir    string
	Credentials Credentials
	// PlainHTTP uses http for every registry that HostsDir says nothing about.
	PlainHTTP bool
	// Parallel is how many ranges of a blob are fetched at once, and Chunk how many bytes each has; 0 means the default.
	Parallel, Chunk int
	// Big is from how many missing bytes on a blob is fetched in ranges; 0 stands for more than a Chunk. Each range is a
	// request: registries that are near are faster without.
	Big int64
	// Attempts is how often a host may fail, without getting on in between, before a call gives it up; 0 means the default.
	Attempts int
	// Stall is how long a request may go without an answer, and an answer without 16 KiB coming, before it is cut; 0 means
	// the default.
	Stall time.Duration
	// Transport is what requests finally go through; nil means one of the client's own. What HostsDir says about TLS and
	// dialling takes effect only on an [*http.Transport].
	Transport http.RoundTripper
	Log       *slog.Logger
	// Retried is told of each failure that may pass, with the host that was asked and a word from a small set: a status
	// code, connection, cut, dns, stalled, tls. It may be nil.
	Retried func(registry, reason string)
	// Throttled is told how long a transfer waited for bandwidth. It may be nil. Both are called by many goroutines, and must
	// not wait.
	Throttled func(time.Duration)
}

// Client reads images. It is safe for concurrent use.
type Client struct {
	o         Options
	bandwidth *bucket
	pacing    pacing
	bell      bell.Bell
	buffers   sync.Pool // of *[]byte with Chunk bytes

	mu         sync.Mutex
	gates      map[string]*gate // by scheme and host
	registries map[string]*configured
}

// configured is a registry's hosts as they were configured when last asked for.
type configured struct {
	hosts     []hosts.Host
	endpoints []*endpoint
}

// New makes a client. It makes no request.
func New(o Options) (*Client, error) {
	if o.Parallel < 0 || o.Chunk < 0 || o.Big < 0 || o.Attempts < 0 || o.Stall < 0 {
		return nil, fmt.Errorf("registry client: options below zero: %d parallel ranges of %d bytes, %d attempts, stalled after %s", o.Parallel, o.Chunk, o.Attempts, o.Stall)
	}
	o.Parallel = orDefault(o.Parallel, DefaultParallel)
	o.Chunk = orDefault(o.Chunk, DefaultChunk)
	o.Attempts = orDefault(o.Attempts, DefaultAttempts)
	o.Stall = orDefault(o.Stall, DefaultStall)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Credentials.Log == nil {
		o.Credentials.Log = o.Log
	}
	if o.Retried == nil {
		o.Retried = func(string, string) {}
	}
	if o.Throttled == nil {
		o.Throttled = func(time.Duration) {}
	}
	c := &Client{o: o, bandwidth: newBucket(), gates: map[string]*gate{}, registries: map[string]*configured{}}
	if o.Transport == nil {
		c.o.Transport = newTransport(&c.pacing)
	}
	c.buffers.New = func() any { return new(make([]byte, o.Chunk)) }
	return c, nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// SetBandwidth limits what all transfers together receive, from now on, also of transfers under way; 0 means no limit.
// Answers' headers and tokens are not counted. The client's own transport also makes senders keep to it, so that they do
// not send in bursts what is then read slowly.
func (c *Client) SetBandwidth(bytesPerSecond int64) {
	c.pacing.set(bytesPerSecond)
	c.bandwidth.set(bytesPerSecond)
}

// Close gives idle connections back. The client remains usable.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.registries {
		for _, e := range r.endpoints {
			e.closeIdle()
		}
	}
}

// throttle pays for n bytes that were received.
func (c *Client) throttle(ctx context.Context, n int) error {
	waited, err := c.bandwidth.take(ctx, n)
	if waited > 0 {
		c.o.Throttled(waited)
	}
	return err
}

// endpoints gives the hosts to ask for an image that are trusted with what is wanted. A configuration that cannot be read
// may be another a moment later: like a registry, it is unavailable.
func (c *Client) endpoints(ref Reference, wanted func(hosts.Host) bool) ([]*endpoint, error) {
	all, err := c.configuration(ref.Registry)
	if err != nil {
		return nil, &warmer.RegistryError{Ref: ref.String(), Registry: ref.Registry, Err: err}
	}
	return slices.DeleteFunc(slices.Clone(all), func(e *endpoint) bool { return !wanted(e.host) }), nil
}

// configuration keeps endpoints, and with them connections and tokens, as long as the configuration is the same.
func (c *Client) configuration(registry string) ([]*endpoint, error) {
	want, err := hosts.Load(c.o.HostsDir, registry, c.o.PlainHTTP)
	if err != nil {
		return nil, err //nolint:wrapcheck // endpoints does
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.registries[registry]
	if old != nil && reflect.DeepEqual(old.hosts, want) {
		return old.endpoints, nil
	}
	fresh := &configured{hosts: want}
	for _, h := range want {
		e, err := c.endpoint(h, registry)
		if err != nil {
			return nil, fmt.Errorf("registry configuration: host %s: %w", h.Name, err)
		}
		fresh.endpoints = append(fresh.endpoints, e)
	}
	if old != nil {
		for _, e := range old.endpoints {
			e.closeIdle()
		}
	}
	c.registries[registry] = fresh
	return fresh.endpoints, nil
}

// gate gives the back-off of a host, whichever registry's images it is asked for. The lock is held.
func (c *Client) gate(h hosts.Host) *gate {
	key := h.Scheme + "://" + h.Name
	g, ok := c.gates[key]
	if !ok {
		g = &gate{ring: c.bell.Ring}
		c.gates[key] = g
	}
	return g
}
