// Package socket asks the kernel about a game's socket: whether its port is bound, how much waits to be read and how much was
// dropped. All containers of a pod share one network, so that this costs the game nothing and needs no right. It reads
// /proc/net as proc(5) describes it.
package socket

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Socket is the state of all sockets that are bound to a port, added up.
type Socket struct {
	// Bound says that there is one; for TCP, one that listens.
	Bound bool
	// Queued are the bytes that wait to be read.
	Queued int64
	// Drops counts datagrams that found no room, since the socket was made; 0 for TCP.
	Drops int64
}

// Protocol is a transport protocol.
type Protocol string

// The protocols that games speak.
const (
	UDP Protocol = "udp"
	TCP Protocol = "tcp"
)

// listening is TCP's state of that name in /proc/net/tcp.
const listening = 0x0A

// Read looks at a port over IPv4 and IPv6. procNet is /proc/net. A kernel without IPv6 has no such table, which is no error.
func Read(procNet string, protocol Protocol, port uint16) (Socket, error) {
	var s Socket
	for _, table := range []string{string(protocol), string(protocol) + "6"} {
		f, err := os.Open(filepath.Join(procNet, table))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Socket{}, err
		}
		one, err := Parse(f, protocol, port)
		_ = f.Close() // it was only read
		if err != nil {
			return Socket{}, err
		}
		s.Bound = s.Bound || one.Bound
		s.Queued += one.Queued
		s.Drops += one.Drops
	}
	return s, nil
}

// Parse reads one table. Lines that it does not understand are left out.
func Parse(r io.Reader, protocol Protocol, port uint16) (Socket, error) {
	var s Socket
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := bytes.Fields(lines.Bytes())
		if len(f) < 5 || portOf(f[1]) != int64(port) {
			continue
		}
		if protocol == TCP && number(f[3], 16) != listening {
			continue
		}
		_, queued, ok := bytes.Cut(f[4], []byte(":"))
		if !ok {
			continue
		}
		s.Bound = true
		s.Queued += max(number(queued, 16), 0)
		if protocol == UDP && len(f) > 12 {
			s.Drops += max(number(f[12], 10), 0)
		}
	}
	return s, lines.Err()
}

// portOf is the port of an address as 0100007F:0AC7 has it, or -1.
func portOf(address []byte) int64 {
	_, port, ok := bytes.Cut(address, []byte(":"))
	if !ok {
		return -1
	}
	return number(port, 16)
}

// number is -1 for what is none.
func number(text []byte, base int) int64 {
	n, err := strconv.ParseInt(string(text), base, 64)
	if err != nil {
		return -1
	}
	return n
}
