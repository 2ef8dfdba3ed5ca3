package socket_test

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

func TestTheKernelTellsOfARealSocket(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	read := func() socket.Socket {
		t.Helper()
		s, err := socket.Read("/proc/net", socket.UDP, port)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := read(); !s.Bound || s.Queued != 0 || s.Drops != 0 {
		t.Errorf("a fresh socket is %+v, want bound with nothing queued or dropped", s)
	}
	sender, err := net.Dial("udp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	for range 5000 { // more than a receive buffer holds
		if _, err := sender.Write(make([]byte, 500)); err != nil {
			t.Fatal(err)
		}
	}
	if s := read(); s.Queued == 0 || s.Drops == 0 {
		t.Errorf("a socket that nobody reads is %+v, want bytes queued and datagrams dropped", s)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if s := read(); s.Bound {
		t.Errorf("a closed socket is %+v, want unbound", s)
	}
}

func TestOnlyAListeningTCPSocketCounts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if s, err := socket.Read("/proc/net", socket.TCP, port); err != nil || !s.Bound {
		t.Errorf("Read() = %+v, %v; want bound", s, err)
	}
	l.Close()
	if s, err := socket.Read("/proc/net", socket.TCP, port); err != nil || s.Bound {
		t.Errorf("Read() after close = %+v, %v; want unbound, although a connection is left", s, err)
	}
}

const table = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  123: 00000000:0FF5 00000000:0000 07 00000000:000009C0 00:00000000 00000000 65532        0 1 2 0000000000000000 17
  124: 0100007F:0FF5 00000000:0000 07 00000000:00000001 00:00000000 00000000 65532        0 1 2 0000000000000000 3
  125: 00000000:0AC5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 0
`

func TestParse(t *testing.T) {
	for port, want := range map[uint16]socket.Socket{
		4085: {Bound: true, Queued: 0x9C0 + 1, Drops: 20}, 2757: {Bound: true}, 80: {},
	} {
		if got, err := socket.Parse(strings.NewReader(table), socket.UDP, port); err != nil || got != want {
			t.Errorf("Parse(%d) = %+v, %v; want %+v", port, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(table), uint16(4085))
	f.Add([]byte("1: :0FF5 x 0A :\n"), uint16(4085))
	f.Fuzz(func(t *testing.T, table []byte, port uint16) {
		for _, p := range []socket.Protocol{socket.UDP, socket.TCP} {
			s, err := socket.Parse(bytes.NewReader(table), p, port)
			if err == nil && (s.Queued < 0 || s.Drops < 0 || !s.Bound && s != socket.Socket{}) {
				t.Errorf("Parse() = %+v", s)
			}
		}
	})
}

func TestTheKernelCountsWhatIsRead(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 5 {
		if _, err := conn.(*net.UDPConn).WriteTo([]byte("x"), conn.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	before, err := socket.Taken("/proc/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, _, err := conn.ReadFrom(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	after, err := socket.Taken("/proc/net")
	if err != nil {
		t.Fatal(err)
	}
	if after < before+5 {
		t.Errorf("Taken() went from %d to %d, want 5 more at least", before, after)
	}
}

func TestTaken(t *testing.T) {
	for text, want := range map[string]int64{
		"Ip: a\nIp: 1\nUdp: NoPorts InDatagrams\nUdp: 3 17 5\n": 17,
		"Udp: NoPorts\nUdp: 3\n":                                0,
		"Udp: InDatagrams\n":                                    0,
		"Udp: NoPorts InDatagrams\nUdp: 3\n":                    0,
		"Udp: InDatagrams\nUdp: many\n":                         0,
		"":                                                      0,
	} {
		if got, err := socket.TakenIPv4(strings.NewReader(text)); err != nil || got != want {
			t.Errorf("TakenIPv4(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]int64{
		"Ip6InReceives 2\nUdp6InDatagrams                 \t9\n": 9, "Udp6InDatagrams\n": 0, "Udp6InDatagrams -4\n": 0, "": 0,
	} {
		if got, err := socket.TakenIPv6(strings.NewReader(text)); err != nil || got != want {
			t.Errorf("TakenIPv6(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}
