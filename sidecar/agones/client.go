package agones

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pitcrew-dev/pitcrew/internal/agonespb/beta"
	"github.com/pitcrew-dev/pitcrew/internal/agonespb/sdk"
	"github.com/pitcrew-dev/pitcrew/sidecar"
)

// How patient the client is.
const (
	callDeadline = 3 * time.Second
	// confirmWithin is how long the watch may take to show what was asked for before it is asked for again.
	confirmWithin = 5 * time.Second
	// patchEvery keeps changes of metadata at two patches a second, which is what the SDK server does itself.
	patchEvery = 500 * time.Millisecond
	// stalePing is the age at which a ping that could not be sent says nothing of the game any more.
	stalePing = 5 * time.Second
)

// Options may be left empty.
type Options struct {
	Log *slog.Logger
	// Dial replaces the network.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Called is told of every call, and of every ping as "Health": code is gRPC's name of it ("OK", "Unavailable").
	Called func(rpc, code string, took time.Duration)
	// Reopened is told each time that a stream ("watch", "health") has to be opened again.
	Reopened func(stream string)
}

// Client speaks to one SDK server. Its methods do not block and may be called at any time, from any goroutine; what they
// ask for is done while Run runs.
type Client struct {
	o    Options
	conn *grpc.ClientConn
	sdk  sdk.SDKClient
	beta beta.SDKClient

	pings chan time.Time

	mu       sync.Mutex
	seen     *sidecar.GameServer // by the watch; nil before the first
	watching bool                // the watch is open, so that seen is the latest
	reopened int                 // how often the watch was opened
	wanted   *sidecar.Transition
	metadata sidecar.Metadata
	changed  chan struct{} // closed and replaced at each change of the fields above
}

// New makes a client of the SDK server at address, HOST:PORT, which need not be there yet.
func New(address string, o Options) (*Client, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Called == nil {
		o.Called = func(string, string, time.Duration) {}
	}
	if o.Reopened == nil {
		o.Reopened = func(string) {}
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the SDK server listens in this pod only, without TLS
		// No keepalive: the SDK server has no policy for it, and takes pings more often than every five minutes for abuse.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: callDeadline,
		}),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
	}
	if o.Dial != nil {
		options = append(options, grpc.WithContextDialer(o.Dial))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		return nil, err
	}
	return &Client{
		o: o, conn: conn, sdk: sdk.NewSDKClient(conn), beta: beta.NewSDKClient(conn),
		pings: make(chan time.Time, 1), changed: make(chan struct{}),
	}, nil
}

// Run talks to the SDK server until ctx ends, and then closes the connection and returns nil. seen is told what the
// GameServer is like: at once when a watch opens, and at every change, from one goroutine.
func (c *Client) Run(ctx context.Context, seen func(sidecar.GameServer)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { c.watch(ctx, seen); return nil })
	group.Go(func() error { c.ping(ctx); return nil })
	group.Go(func() error { c.move(ctx); return nil })
	group.Go(func() error { c.patch(ctx); return nil })
	err := group.Wait()
	_ = c.conn.Close() // nothing is on the way any more
	return err
}

// GameServer asks the SDK server until it answers, also before Run, or returns ctx's error.
func (c *Client) GameServer(ctx context.Context) (sidecar.GameServer, error) {
	var p pauses
	for {
		g, err := c.current(ctx)
		if err == nil {
			return g, nil
		}
		if !p.wait(ctx) {
			return g, fmt.Errorf("the SDK server does not say what its GameServer is: %w: %v", context.Cause(ctx), err) //nolint:errorlint // of an attempt
		}
	}
}

// Close gives up a client that Run was not called for.
func (c *Client) Close() error { return c.conn.Close() }

// Ping tells Agones that the game is well. A ping that cannot be sent soon is dropped: it would no longer be true.
func (c *Client) Ping() {
	select {
	case c.pings <- time.Now():
	default: // one that is as good is waiting
	}
}

// Move asks for a transition, in place of the one that was asked for before. nil takes it back.
func (c *Client) Move(t *sidecar.Transition) { c.change(func() { c.wanted = t }) }

// Assert says what the GameServer should say of the game, in place of what was said before.
func (c *Client) Assert(m sidecar.Metadata) { c.change(func() { c.metadata = m }) }

func (c *Client) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// view is a consistent copy of what the workers act on.
type view struct {
	seen     *sidecar.GameServer
	watching bool
	reopened int
	wanted   *sidecar.Transition
	metadata sidecar.Metadata
	changed  <-chan struct{}
}

func (c *Client) view() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return view{c.seen, c.watching, c.reopened, c.wanted, c.metadata, c.changed}
}
