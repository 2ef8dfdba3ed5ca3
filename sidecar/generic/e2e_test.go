package generic_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/agones"
	"github.com/pitcrew-dev/pitcrew/sidecar/generic"
	"github.com/pitcrew-dev/pitcrew/sidecar/runner"
	"github.com/pitcrew-dev/pitcrew/sidecar/sidecartest"
	"github.com/pitcrew-dev/pitcrew/sidecar/socket"
)

// TestALife lets a sidecar watch a real process, and speak to an Agones in memory.
func TestALife(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"udp", "tcp"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, protocol)
			l := live(t, s, func(p *sidecar.Policy) {
				p.Allocation, p.EmptyGrace = sidecar.ByPlayer, 300*time.Millisecond
			})
			s.writes("[12:00:04] [Server thread/INFO]: Starting minecraft server version 1.21.4")
			l.until("pings while it boots", func() bool { return l.pings > 0 })
			s.open()
			l.Wait()
			if state := l.agones.GameServer().State; state != sidecar.Scheduled {
				t.Errorf("the GameServer is %s before the game says that it serves", state)
			}
			s.writes(`[12:00:10] [Server thread/INFO]: Done (5.021s)! For help, type "help"`)
			l.becomes(sidecar.Ready)
			s.writes("[12:01:01] [Server thread/INFO]: Steve joined the game")
			l.becomes(sidecar.Allocated)
			l.until("Steve is in the list", func() bool {
				return slices.Equal(l.agones.GameServer().Lists["players"].Values, []string{"p-1"})
			})
			s.writes("[12:01:02] [Server thread/INFO]: <Steve> Steve left the game", "[12:01:03] [Server thread/INFO]: Alex joined the game", "[12:01:04] [Server thread/INFO]: Steve left the game")
			l.until("only Alex is in the list", func() bool {
				return slices.Equal(l.agones.GameServer().Lists["players"].Values, []string{"p-2"})
			})
			if state := l.agones.GameServer().State; state != sidecar.Allocated {
				t.Errorf("the GameServer is %s while Alex plays", state)
			}
			s.writes("[12:02:00] [Server thread/INFO]: Alex left the game")
			l.becomes(sidecar.Shutdown)
			if slices.ContainsFunc(l.agones.Calls(), func(call string) bool { return strings.Contains(call, "Steve") || strings.Contains(call, "Alex") }) {
				t.Error("Agones was told a name")
			}
		})
	}
}

func TestAPortThatGoesAwayCostsItsHealth(t *testing.T) {
	t.Parallel()
	s := newServer(t, "udp")
	l := live(t, s, func(p *sidecar.Policy) { p.LivenessWindow = 500 * time.Millisecond })
	s.writes(`[12:00:10] [Server thread/INFO]: Done (5.021s)! For help, type "help"`)
	s.open()
	l.becomes(sidecar.Ready)
	s.close()
	var pings int
	l.until("pings are withheld for silence", func() bool { pings = l.pings; return l.withheld[sidecar.Silent] > 0 })
	l.until("they still are", func() bool { return l.withheld[sidecar.Silent] > 3 })
	if l.is(func() bool { return l.pings > pings }) {
		t.Error("pings go on while no sign of life comes")
	}
}

// lived is a sidecar that runs.
type lived struct {
	*watcher
	agones   *sidecartest.Server
	pings    int
	withheld map[string]int
}

// live starts one. Its watcher is changed by what the sidecar does.
func live(t *testing.T, s *server, change func(*sidecar.Policy)) *lived {
	t.Helper()
	l := &lived{withheld: map[string]int{}, agones: sidecartest.New(sidecartest.Options{NoProbe: true, GameServer: sidecar.GameServer{
		Lists: map[string]sidecar.List{"players": {Capacity: 8}}, Counters: map[string]sidecar.Counter{"races": {Capacity: 1000}},
		Health: sidecar.HealthSettings{Period: time.Second, FailureThreshold: 3},
	}})}
	l.watcher = newWatcher(t)
	l.agones.Start()
	t.Cleanup(l.agones.Close)
	client, err := agones.New("sdk:9357", agones.Options{Dial: l.agones.Dial})
	if err != nil {
		t.Fatal(err)
	}
	game := generic.New(generic.Options{
		Port: s.port, Protocol: socket.Protocol(s.protocol), Log: s.log, Every: often, Observed: generic.Observed{Socket: l.Socket},
		Patterns: parse(t, string(readFile(t, examples, "minecraft.yaml"))),
	})
	policy := sidecar.DefaultPolicy()
	change(&policy)
	r := runner.New(policy, client, game, slog.New(slog.DiscardHandler), func(_ sidecar.State, a sidecar.Action) {
		l.change(func() {
			switch x := a.(type) {
			case sidecar.Ping:
				l.pings++
			case sidecar.Withhold:
				l.withheld[x.Reason]++
			}
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
		_ = client.Close()
	})
	return l
}

// becomes waits for a state of the GameServer. The sidecar does something several times a second, and this looks then.
func (l *lived) becomes(state sidecar.AgonesState) {
	l.t.Helper()
	l.until("the GameServer is "+string(state), func() bool { return l.agones.GameServer().State == state })
}
