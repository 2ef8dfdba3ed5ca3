package progress

import "sync/atomic"

// Item is one transfer. Its methods may be called from any goroutine; a nil Item ignores them.
type Item struct {
	reporter *Reporter
	name     string
	total    int64 // 0 or less: not known
	done     atomic.Int64
}

// Add counts n more bytes. n is negative when bytes have to be sent again.
func (i *Item) Add(n int64) {
	if i != nil {
		i.done.Add(n)
	}
}

// Done ends the item, complete or not: what was announced and not counted leaves the reporter's total. Further calls
// do nothing.
func (i *Item) Done() {
	if i != nil {
		i.reporter.finish(i)
	}
}

// counted is the number of bytes so far, and of bytes in all as far as is known: an item that outgrew its total is its
// own measure.
func (i *Item) counted() (done, total int64) {
	done = max(0, i.done.Load())
	return done, max(done, i.total)
}
