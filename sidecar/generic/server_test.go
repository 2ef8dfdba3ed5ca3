package generic_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if protocol := os.Getenv("PITCREW_TEST_GAME"); protocol != "" {
		serve(protocol, os.Getenv("PITCREW_TEST_PORT"))
		return
	}
	goleak.VerifyTestMain(m)
}

// serve is a small game server: it says on which port it is and answers "ask" with "players 3" until its input ends.
func serve(protocol, port string) {
	if protocol == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			panic(err)
		}
		fmt.Println(l.Addr().(*net.TCPAddr).Port)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				conn.Close()
			}
		}()
	} else {
		c, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		if err != nil {
			panic(err)
		}
		fmt.Println(c.LocalAddr().(*net.UDPAddr).Port)
		go func() {
			buf := make([]byte, 2000)
			for {
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				if bytes.Equal(buf[:n], []byte("ask")) {
					c.WriteTo([]byte("\xff\xff players 3"), from)
				}
			}
		}()
	}
	os.Stdin.Read(make([]byte, 1)) // its end
}

// server is a process that serves, and its log.
type server struct {
	t        *testing.T
	protocol string
	port     uint16
	log      string
	cmd      *exec.Cmd
	close    func()
}

// newServer knows its port, and does not run yet.
func newServer(t *testing.T, protocol string) *server {
	t.Helper()
	s := &server{t: t, protocol: protocol, log: filepath.Join(t.TempDir(), "game.log")}
	s.open() // the kernel chooses
	s.close()
	return s
}

// open starts the process, and returns when its port is bound.
func (s *server) open() {
	s.t.Helper()
	s.cmd = exec.Command(os.Args[0])
	s.cmd.Env = append(os.Environ(), "PITCREW_TEST_GAME="+s.protocol, "PITCREW_TEST_PORT="+strconv.Itoa(int(s.port)), "GORACE=atexit_sleep_ms=0")
	s.cmd.Stderr = os.Stderr
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	closed := false
	s.close = func() {
		if closed {
			return
		}
		closed = true
		s.cmd.Process.Signal(syscall.SIGCONT)
		stdin.Close()
		if err := s.cmd.Wait(); err != nil {
			s.t.Error(err)
		}
	}
	s.t.Cleanup(func() { s.close() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	port, err := strconv.ParseUint(strings.TrimSpace(line), 10, 16)
	if err != nil {
		s.t.Fatal(err)
	}
	s.port = uint16(port)
}

// writes adds lines to the log.
func (s *server) writes(lines ...string) {
	s.t.Helper()
	f, err := os.OpenFile(s.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
		s.t.Fatal(err)
	}
}

// signal stops the process, or lets it go on.
func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// packet is what a player sends.
func (s *server) packet() {
	s.t.Helper()
	conn, err := net.Dial(s.protocol, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.port))))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte("hello"))
}
