package containerd

import "sync"

// commits tells those who wait for a snapshot when there is another one. The zero value is ready.
type commits struct {
	mu   sync.Mutex
	said chan struct{}
}

// next is closed when a snapshot is committed from now on.
func (c *commits) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said == nil {
		c.said = make(chan struct{})
	}
	return c.said
}

// tell says that one was.
func (c *commits) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said != nil {
		close(c.said)
		c.said = nil
	}
}
