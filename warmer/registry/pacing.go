package registry

import (
	"context"
	"net"
	"sync"
)

const (
	// kept is how much of a second's bytes the system may keep for us, for each connection that is limited.
	kept = 0.02
	// leastBuffer and mostBuffer bound that, in bytes. The latter is also for connections that are not limited any more.
	leastBuffer, mostBuffer = 32 << 10, 1 << 20
)

// pacing makes senders keep to the bandwidth. To read slowly is not enough: the system would take megabytes for each
// connection as fast as they come, and the node's network would be busy for just that long. So connections get a small
// receive buffer as long as there is a limit. Without one, the system sizes it.
type pacing struct {
	mu     sync.Mutex
	buffer int // for new connections; 0 leaves it to the system
	conns  map[*pacedConn]struct{}
}

func (p *pacing) set(bytesPerSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buffer = 0
	size := mostBuffer
	if bytesPerSecond > 0 {
		p.buffer = int(min(max(float64(bytesPerSecond)*kept, leastBuffer), mostBuffer))
		size = p.buffer
	}
	for c := range p.conns {
		c.setBuffer(size)
	}
}

// dial is for a transport.
func (p *pacing) dial(dialer *net.Dialer) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err //nolint:wrapcheck // says what it dialled
		}
		c := &pacedConn{Conn: conn, p: p}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.conns == nil {
			p.conns = map[*pacedConn]struct{}{}
		}
		p.conns[c] = struct{}{}
		if p.buffer > 0 {
			c.setBuffer(p.buffer)
		}
		return c, nil
	}
}

// pacedConn is known to pacing until it is closed.
type pacedConn struct {
	net.Conn
	p *pacing
}

func (c *pacedConn) setBuffer(size int) {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetReadBuffer(size) // a closed connection needs none
	}
}

func (c *pacedConn) Close() error {
	c.p.mu.Lock()
	delete(c.p.conns, c)
	c.p.mu.Unlock()
	return c.Conn.Close() //nolint:wrapcheck // a connection passes errors on
}
