package charts_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// isolated runs f in a network namespace of its own, which ends with it, and whose loopback interface is up.
func isolated(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() { // its thread is not given back, and ends with it
		runtime.LockOSThread()
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("a network namespace: %w", err)
			}
			if err := loopback(); err != nil {
				return err
			}
			return f()
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// server counts datagrams by where they come from.
type server struct {
	*net.UDPConn
	got sync.Map // *atomic.Int64 by netip.Addr
}

func listen(address string) (*server, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		return nil, err
	}
	s := &server{UDPConn: c}
	return s, c.SetReadBuffer(8 << 20)
}

// count reads until all was sent and nothing has come for a while.
func (s *server) count(sent <-chan struct{}) error {
	buffer := make([]byte, 64)
	for {
		if err := s.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			return err
		}
		_, from, err := s.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			select {
			case <-sent:
				return nil
			default:
				continue
			}
		} else if err != nil {
			return err
		}
		n, _ := s.got.LoadOrStore(from.Addr().Unmap(), new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	}
}

func (s *server) of(address string) int64 {
	a, err := netip.ParseAddr(address)
	if err != nil { // nobody's
		return 0
	}
	n, ok := s.got.Load(a)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

// send sends datagrams, with a pause after each.
func send(from, to string, n int, pause time.Duration) error {
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(max(pause, time.Nanosecond))
	defer tick.Stop()
	for range n {
		if _, err := c.Write([]byte("karts")); err != nil && !errors.Is(err, syscall.EPERM) { // which is how a drop on the way looks
			return err
		}
		if pause > 0 {
			<-tick.C
		}
	}
	return nil
}

// The image that the chart's messages name can be asked for.
func TestTheRateLimitsPipelineIsValid(t *testing.T) {
	pipeline := filepath.Join(root, "examples/nftables/pipeline.yaml")
	if out, err := exec.Command(program(t, "builder"), "validate", "-f", pipeline).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The kernel takes the rules, and one address that floods keeps neither others nor other ports out.
func TestTheRateLimitDropsOneAddressOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft: scripts/deps.sh test installs it")
	}
	const (
		flood = 20000
		rate  = 300
		burst = 200
	)
	r := render(t, stk, fmt.Sprintf("rateLimit: {enabled: true, image: 'r.test/nft:1', packetsPerSecond: %d, burst: %d}", rate, burst))
	rules := as[corev1.ConfigMap](t, r, "ConfigMap", "r").Data["ratelimit.nft"]
	init := container(t, pods(t, r)["Fleet"].Spec.InitContainers, "rate-limit")
	for _, c := range []struct{ server, other, flooding, player string }{
		{"127.0.0.1:2759", "127.0.0.1:2758", "127.0.0.2", "127.0.0.3"},
		{"[::1]:2759", "[::1]:2758", "::1", ""},
	} {
		isolated(t, func() error {
			cmd := exec.Command(init.Command[0], "-f", "-") // the chart's file comes by standard input
			cmd.Stdin = strings.NewReader(rules)
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			game, err := listen(c.server)
			if err != nil {
				return err
			}
			defer game.Close()
			other, err := listen(c.other)
			if err != nil {
				return err
			}
			defer other.Close()
			began := time.Now()
			errs, all := make(chan error), make(chan struct{})
			for _, s := range []*server{game, other} {
				go func() { errs <- s.count(all) }()
			}
			// Sockets belong to the namespace of the thread that makes them, so that this one sends.
			sent := func() error {
				if err := send(c.flooding, c.server, flood/2, 0); err != nil {
					return err
				}
				if c.player != "" {
					if err := send(c.player, c.server, 60, 5*time.Millisecond); err != nil {
						return err
					}
				}
				if err := send(c.flooding, c.server, flood/2, 0); err != nil {
					return err
				}
				return send(c.flooding, c.other, 1000, 20*time.Microsecond)
			}()
			took := time.Since(began)
			close(all)
			if err := errors.Join(sent, <-errs, <-errs); err != nil {
				return err
			}
			if got, most := game.of(c.flooding), int64(burst+rate*took.Seconds()+rate); got < burst/2 || got > most {
				t.Errorf("%s: %d of %d datagrams of a flood of %s came through, want about %d and at most %d", c.server, got, flood, took, burst, most)
			}
			if got := game.of(c.player); c.player != "" && got != 60 {
				t.Errorf("%s: %d of a player's 60 datagrams came through", c.server, got)
			}
			if got := other.of(c.flooding); got != 1000 {
				t.Errorf("%s: %d of 1000 datagrams came through to another port", c.other, got)
			}
			return nil
		})
	}
}
