package main

import (
	"io"
	"net"
	"sync"
	"testing"
)

// door connects who comes to a listener with a unix socket, until it is shut.
type door struct {
	listener net.Listener
	socket   string
	running  sync.WaitGroup

	mu   sync.Mutex
	open []net.Conn
	over bool
}

func newDoor(t *testing.T, l net.Listener, socket string) *door {
	t.Helper()
	d := &door{listener: l, socket: socket}
	d.running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return // it is shut
			}
			d.pass(in)
		}
	})
	t.Cleanup(d.shut)
	return d
}

// pass copies both ways until one end closes.
func (d *door) pass(in net.Conn) {
	out, err := net.Dial("unix", d.socket)
	if err != nil {
		_ = in.Close() // the client sees that
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = append(d.open, in, out)
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		d.running.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // its end is all that counts
			_ = way[0].Close()             // likewise
		})
	}
	if d.over {
		d.close()
	}
}

func (d *door) close() {
	for _, c := range d.open {
		_ = c.Close() // it may be closed
	}
}

// shut cuts all connections, lets nobody in any more, and returns when nothing runs.
func (d *door) shut() {
	_ = d.listener.Close() // it may be closed
	d.mu.Lock()
	d.over = true
	d.close()
	d.mu.Unlock()
	d.running.Wait()
}
