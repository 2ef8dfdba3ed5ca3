// Package outputtest gives tests what a program writes while it writes it.
package outputtest

import (
	"strings"
	"sync"
)

// Output is a writer that can be read at any time. Its zero value is empty.
type Output struct {
	mu  sync.Mutex
	buf strings.Builder
}

// Write implements [io.Writer]; it never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String is all that was written until now.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
