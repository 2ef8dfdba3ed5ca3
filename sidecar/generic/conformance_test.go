package generic_test

import (
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar/gametest"
	"github.com/pitcrew-dev/pitcrew/sidecar/generic"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

const often = 10 * time.Millisecond

func TestConformance(t *testing.T) {
	ask := "\nquery: {text: ask, answer: '^.. players \\d$'}\n"
	for _, c := range []struct {
		name, protocol, patterns string
	}{
		{"the socket alone, UDP", "udp", ""},
		{"the socket alone, TCP", "tcp", ""},
		{"a question", "udp", ask},
		{"a log", "udp", all},
		{"a log, TCP", "tcp", all},
		{"a log and a question", "udp", all + ask},
	} {
		t.Run(c.name, func(t *testing.T) {
			gametest.Test(t, func(t *testing.T) gametest.Rig {
				t.Helper()
				s, looks := newServer(t, c.protocol), gametest.NewLooks()
				o := generic.Options{Port: s.port, Protocol: socket.Protocol(c.protocol), Every: often, Observed: generic.Observed{Socket: looks.Socket}}
				r := gametest.Rig{Open: func() { s.open() }, Close: func() { s.close() }, Look: looks.Wait}
				if c.patterns != "" {
					o.Patterns = parse(t, c.patterns)
				}
				if o.Patterns.ReadsLog() {
					o.Log = s.log
					r.Open = func() { s.open(); s.writes("1 up") }
					r.Join = func(name string) { s.writes("1 + " + name) }
					r.Leave = func(name string) { s.writes("1 - " + name) }
				}
				r.Game = generic.New(o)
				return r
			})
		})
	}
}
