// Package bell wakes everybody who waits for something to happen, whoever they are and however many.
package bell

import "sync"

// Bell is rung again and again. The zero value is ready; it is safe for concurrent use.
type Bell struct {
	mu   sync.Mutex
	next chan struct{}
}

// Wait returns what is closed when the bell rings next. Who asks before looking at what is waited for misses nothing.
func (b *Bell) Wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

// Ring wakes those who wait.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}
