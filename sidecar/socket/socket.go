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
	"slices"
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

// Taken is how many datagrams all programs of the network have read so far, over IPv4 and IPv6: the kernel counts each when it is
// read, not when it comes (udp_recvmsg). It reads /proc/net/snmp and snmp6; what is not there counts as none.
func Taken(procNet string) (int64, error) {
	var sum int64
	for table, find := range map[string]func(io.Reader) (int64, error){"snmp": TakenIPv4, "snmp6": TakenIPv6} {
		f, err := os.Open(filepath.Join(procNet, table))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := find(f)
		_ = f.Close() // it was only read
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// TakenIPv4 finds InDatagrams in the table snmp, where a line names columns and the next one has them.
func TakenIPv4(r io.Reader) (int64, error) {
	column := -1
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := bytes.Fields(lines.Bytes())
		if len(f) == 0 || string(f[0]) != "Udp:" {
			continue
		}
		if column < 0 {
			column = slices.IndexFunc(f, func(name []byte) bool { return string(name) == "InDatagrams" })
			continue
		}
		if column < len(f) {
			return max(number(f[column], 10), 0), nil
		}
	}
	return 0, lines.Err()
}

// TakenIPv6 finds it in the table snmp6, which has a line for each.
func TakenIPv6(r io.Reader) (int64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if f := bytes.Fields(lines.Bytes()); len(f) == 2 && string(f[0]) == "Udp6InDatagrams" {
			return max(number(f[1], 10), 0), nil
		}
	}
	return 0, lines.Err()
}
