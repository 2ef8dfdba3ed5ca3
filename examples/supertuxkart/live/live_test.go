package live_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/sidecartest"
	"github.com/pitcrew-dev/pitcrew/sidecar/stk"
)

func TestAMatchmakersServerLivesFromStartToShutdown(t *testing.T) {
	inBothWays(t, func(r *rig, wrapped bool) {
		r.pod(wrapped, "--empty-grace", "2s")
		r.untilState(sidecar.Ready)
		if !r.agones.Allocate(sidecartest.Allocation{}) {
			r.t.Fatal("cannot allocate")
		}
		r.until("accepting", func() bool { return r.annotation("session-state") == "accepting" })
		bots := r.bots(2)
		r.untilPlayers(2)
		r.untilMatch("racing")
		r.until("a race in the counter", func() bool { return r.agones.GameServer().Counters["races"].Count >= 1 })
		r.signal(bots.Process.Pid, syscall.SIGTERM)
		r.untilState(sidecar.Shutdown)
		if n := r.calls("Ready"); n != 1 {
			r.t.Errorf("Ready was called %d times, want once", n)
		}
		if n := r.calls("UpdateList"); n != 0 {
			r.t.Error("UpdateList was called")
		}
		if got := r.metric("pitcrew_sidecar_players_cut_off_total"); got != "0" {
			r.t.Errorf("players cut off = %s, want 0", got)
		}
	})
}

func TestTheFirstPlayerClaimsAndTheServerGoesBackToThePool(t *testing.T) {
	inBothWays(t, func(r *rig, wrapped bool) {
		r.pod(wrapped, "--allocation", "self", "--when-empty", "ready", "--empty-grace", "1s")
		r.untilState(sidecar.Ready)
		bots := r.bots(1)
		r.untilState(sidecar.Allocated)
		r.untilPlayers(1)
		r.signal(bots.Process.Pid, syscall.SIGTERM)
		r.untilPlayers(0)
		r.untilState(sidecar.Ready)
	})
}

func TestNobodyJoinsInTime(t *testing.T) {
	inBothWays(t, func(r *rig, wrapped bool) {
		r.pod(wrapped, "--join-timeout", "2s")
		r.untilState(sidecar.Ready)
		r.agones.Allocate(sidecartest.Allocation{})
		r.untilState(sidecar.Shutdown)
	})
}

func TestAStoppedServerLosesItsHealthAndAContinuedOneGetsItBack(t *testing.T) {
	inBothWays(t, func(r *rig, wrapped bool) {
		r.pod(wrapped, "--liveness-window", "2s")
		r.untilState(sidecar.Ready)
		r.signal(r.pid(), syscall.SIGSTOP)
		r.until("a ping withheld", func() bool { return r.metric(silentPings) != "" })
		before := r.pings()
		r.until("three pings withheld", func() bool { return r.metric(silentPings) >= "3" })
		if after := r.pings(); after != before {
			r.t.Errorf("%d pings although the game is stopped", after-before)
		}
		r.signal(r.pid(), syscall.SIGCONT)
		r.until("a ping", func() bool { return r.pings() > before })
		r.signal(r.pid(), syscall.SIGSTOP)
		r.untilState(sidecar.Unhealthy)
		r.signal(r.pid(), syscall.SIGCONT)
	})
}

const silentPings = `pitcrew_sidecar_health_withheld_total{reason="silent"}`

func TestAKilledServerIsReported(t *testing.T) {
	inBothWays(t, func(r *rig, wrapped bool) {
		r.pod(wrapped, "--liveness-window", "2s")
		r.untilState(sidecar.Ready)
		r.signal(r.pid(), syscall.SIGKILL)
		if wrapped {
			r.wantExit(137)
		} else {
			r.until("a ping withheld", func() bool { return r.metric(silentPings) != "" })
		}
		before := r.pings()
		r.untilState(sidecar.Unhealthy)
		if after := r.pings(); after != before {
			r.t.Errorf("%d pings after the game's death", after-before)
		}
	})
}

func (r *rig) wantExit(want int) {
	r.t.Helper()
	err := r.side.Wait()
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		r.t.Fatal(err)
	}
	if got != want {
		r.t.Errorf("the sidecar's exit code = %d, want the game's, %d\n%s", got, want, r.sideOut)
	}
}

func TestAServerWithoutItsDataIsReported(t *testing.T) {
	if !alone(t) {
		return
	}
	r := newRig(t)
	cmd := r.wrapper()
	cmd.Env = append(cmd.Env, "SUPERTUXKART_DATADIR=/nonexistent")
	if err := unix.Mount("nothing", shared.root+"/usr/share/games", "tmpfs", unix.MS_RDONLY, ""); err != nil { // for this test alone
		t.Fatal(err)
	}
	r.side = r.start(cmd, r.sideOut)
	r.wantExit(1)
	if r.calls("Ready") != 0 {
		t.Error("Ready was called")
	}
}

func TestAServerOnAnotherPortIsNeverReady(t *testing.T) {
	inBothWays(t, func(r *rig, wrapped bool) {
		taken, err := net.ListenPacket("udp", ":2759")
		if err != nil {
			r.t.Fatal(err)
		}
		defer taken.Close()
		r.pod(wrapped)
		r.until("the fault", func() bool { return r.status()["fault"] != nil })
		r.untilState(sidecar.Unhealthy)
		if r.calls("Ready") != 0 {
			r.t.Error("Ready was called for a server on another port")
		}
	})
}

func TestADrainWaitsForTheRaceToEnd(t *testing.T) {
	inBothWays(t, func(r *rig, wrapped bool) {
		r.pod(wrapped, "--lobby-grace", "1s")
		r.untilState(sidecar.Ready)
		r.agones.Allocate(sidecartest.Allocation{})
		r.bots(2)
		r.untilMatch("racing")
		hook := make(chan string, 1)
		go func() {
			resp, err := (&http.Client{Timeout: 2 * time.Minute}).Get("http://127.0.0.1:9096/prestop")
			if err != nil {
				hook <- err.Error()
				return
			}
			resp.Body.Close()
			hook <- resp.Status
		}()
		r.until("the drain", func() bool { return r.status()["phase"] == "draining" })
		if got := r.annotation("session-state"); got == "accepting" {
			r.until("closed", func() bool { return r.annotation("session-state") == "closed" })
		}
		if got := <-hook; got != "200 OK" {
			r.t.Errorf("/prestop = %s, want 200 OK", got)
		}
		if got := r.metric("pitcrew_sidecar_players_cut_off_total"); got != "0" {
			r.t.Errorf("players cut off = %s, want 0", got)
		}
		raw, err := os.ReadFile(r.log())
		if err != nil || !strings.Contains(string(raw), "The game is considered finished.") {
			r.t.Errorf("drained before the race was over: %v", err)
		}
		r.untilState(sidecar.Shutdown)
		r.signal(r.side.Process.Pid, syscall.SIGTERM)
		r.wantExit(0)
	})
}

func TestTheSDKServerDiesInMidRace(t *testing.T) {
	inBothWays(t, func(r *rig, wrapped bool) {
		r.pod(wrapped)
		r.untilState(sidecar.Ready)
		r.agones.Allocate(sidecartest.Allocation{})
		r.bots(3)
		r.until("a player in the game", func() bool { return r.status()["players"] == 3.0 })
		r.agones.Stop() // with what it had not written
		r.untilMatch("racing")
		r.serveSDK()
		r.untilPlayers(3)
		before := r.pings()
		r.until("pings", func() bool { return r.pings() > before+2 })
		if got := r.agones.GameServer().State; got != sidecar.Allocated {
			r.t.Errorf("state = %s, want Allocated", got)
		}
	})
}

func TestTheSidecarDiesInMidRace(t *testing.T) {
	if !alone(t) {
		return
	}
	r := newRig(t)
	r.pod(false)
	r.untilState(sidecar.Ready)
	r.agones.Allocate(sidecartest.Allocation{})
	r.bots(2)
	r.untilPlayers(2)
	players := slices.Clone(r.players())
	r.untilMatch("racing")
	r.signal(r.side.Process.Pid, syscall.SIGKILL)
	_ = r.side.Wait() // killed
	calls := len(r.agones.Calls())
	r.startSidecar()
	r.until("the phase", func() bool { return r.status()["phase"] == "playing" })
	r.until("the players", func() bool { return r.status()["namedPlayers"] == 2.0 })
	r.until("pings", func() bool { return slices.Contains(r.agones.Calls()[calls:], "Health") })
	for _, c := range r.agones.Calls()[calls:] {
		if c == "Ready" || c == "Shutdown" || c == "Allocate" {
			t.Errorf("the new sidecar called %s", c)
		}
	}
	if got := r.players(); !slices.Equal(got, players) {
		t.Errorf("players = %q, want %q as before", got, players)
	}
}

func TestAStrayPeerChangesNothing(t *testing.T) {
	inBothWays(t, func(r *rig, wrapped bool) {
		r.pod(wrapped, "--allocation", "self", "--empty-grace", "0s")
		r.untilState(sidecar.Ready)
		r.until("what is said of a server that waits", func() bool {
			return r.agones.GameServer().Labels[sidecar.SDKPrefix+"phase"] == "waiting"
		})
		calls := r.calls("SetLabel") + r.calls("AddListValue")
		for range 3 {
			stray(r.t)
		}
		before := r.pings()
		r.until("pings", func() bool { return r.pings() > before+2 })
		if got := r.agones.GameServer().State; got != sidecar.Ready {
			r.t.Errorf("state = %s after peers that are no players, want Ready", got)
		}
		if now := r.calls("SetLabel") + r.calls("AddListValue"); now != calls {
			r.t.Errorf("%d calls because of peers that are no players", now-calls)
		}
	})
}

// stray connects as a peer, to which the server logs a connection, and leaves.
func stray(t testing.TB) {
	t.Helper()
	conn, err := net.Dial("udp", "127.0.0.1:2759")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	connect := []byte{
		0x8f, 0xff, 0, 1, 0x82, 0xff, 0, 1, 0, 0, 0xff, 0xff, 0, 0, 5, 0x78, 0, 0, 0x80, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5,
		0, 0, 0x13, 0x88, 0, 0, 0, 2, 0, 0, 0, 2, 0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 0,
	}
	if _, err := conn.Write(connect); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1500)
	n, err := conn.Read(answer)
	if err != nil || n < 12 || answer[4]&0x0f != 3 {
		t.Fatalf("no VERIFY_CONNECT: %x, %v", answer[:n], err)
	}
	id, session := answer[8:10], answer[11]
	head := []byte{0x80 | session<<4 | id[0]&0x0f, id[1], 0, 2}
	ack := append(slices.Clone(head), 0x01, 0xff, 0, 1, 0, 1, answer[2], answer[3])
	leave := append(slices.Clone(head), 0x44, 0xff, 0, 1, 0, 0, 0, 0)
	for _, packet := range [][]byte{ack, leave} {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
}

// With two busy programs for each processor, eight bots race, and not one ping is missing.
func TestABusyMachineCostsNoHealth(t *testing.T) {
	if !alone(t) {
		return
	}
	r := newRig(t)
	r.configure("server-max-players", "10") // eight bots are refused where that is all there may be
	r.pod(false)
	r.untilState(sidecar.Ready)
	r.agones.Allocate(sidecartest.Allocation{})
	for range 2 * runtime.NumCPU() {
		r.start(exec.Command("sh", "-c", "while :; do :; done"), io.Discard)
	}
	r.bots(8)
	r.untilPlayers(8)
	r.within(4*time.Minute, "two races", func() bool { return r.agones.GameServer().Counters["races"].Count >= 2 })
	if got := r.agones.GameServer(); got.State != sidecar.Allocated {
		t.Errorf("state = %s, want Allocated", got.State)
	}
	if got := r.metric(silentPings); got != "" {
		t.Errorf("%s pings were withheld", got)
	}
}

// A server that has begun a grand prix answers no question until it is over.
func TestAGrandPrixIsNoSilence(t *testing.T) {
	if !alone(t) {
		return
	}
	r := newRig(t)
	r.configure("server-mode", "0")
	r.pod(false, "--liveness-window", "4s")
	r.untilState(sidecar.Ready)
	r.agones.Allocate(sidecartest.Allocation{})
	r.bots(2)
	r.untilMatch("racing")
	unanswered := `pitcrew_sidecar_query_failures_total{kind="no-answer"}`
	r.until("unanswered questions", func() bool { n, _ := strconv.Atoi(r.metric(unanswered)); return n >= 3 })
	before := r.pings()
	r.until("pings", func() bool { return r.pings() > before+8 }) // twice the window
	if got := r.metric(silentPings); got != "" {
		t.Errorf("%s pings were withheld from a server that plays", got)
	}
	r.untilPlayers(2)
	if got := r.status(); got["serving"] != true || got["phase"] != "playing" {
		t.Errorf("status = %v, want it serving and playing", got)
	}
	r.signal(r.pid(), syscall.SIGSTOP)
	r.until("a ping withheld", func() bool { return r.metric(silentPings) != "" })
	r.signal(r.pid(), syscall.SIGCONT)
}

func TestFiftyComeAndGo(t *testing.T) {
	if !alone(t) {
		return
	}
	r := newRig(t)
	r.configure("start-game-counter", "600") // all of them meet in the lobby
	r.pod(false, "--empty-grace", "10m")
	r.untilState(sidecar.Ready)
	r.agones.Allocate(sidecartest.Allocation{})
	for range 10 {
		var all []*exec.Cmd
		for range 5 {
			all = append(all, r.bots(1))
		}
		r.untilPlayers(5)
		for _, bot := range all {
			r.signal(bot.Process.Pid, syscall.SIGTERM)
		}
		r.untilPlayers(0)
	}
	if n := r.calls("AddListValue"); n != 50 {
		t.Errorf("%d values were added for 50 players", n)
	}
	if got := r.metric("pitcrew_sidecar_players"); got != "0" {
		t.Errorf("players = %s, want 0", got)
	}
	r.until("the label players", func() bool { return r.agones.GameServer().Labels[sidecar.SDKPrefix+"players"] == "0" })
	if got := r.agones.GameServer().State; got != sidecar.Allocated {
		t.Errorf("state = %s, want Allocated", got)
	}
}

func TestTheGameServersDataReachTheGame(t *testing.T) {
	if !alone(t) {
		return
	}
	r := newRig(t)
	config := filepath.Join(shared.root, r.home, "server.xml")
	raw, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	template := strings.NewReplacer(`"live"`, `"${PITCREW_GAMESERVER_NAME}"`, `server-max-players value="8"`, `server-max-players value="${PITCREW_GAMESERVER_CAPACITY_PLAYERS}"`).Replace(string(raw))
	if err := os.WriteFile(config+".tmpl", []byte(template), 0o644); err != nil {
		t.Fatal(err)
	}
	r.agones.SetCapacity("players", 5)
	r.pod(true, "--template", r.home+"/server.xml.tmpl="+r.home+"/server.xml", "--env-file", r.home+"/gameserver.env")
	r.untilState(sidecar.Ready)
	info, err := stk.Ask(t.Context(), "127.0.0.1:2757")
	if err != nil || info.Name != "stk-0" || info.MaxPlayers != 5 {
		t.Errorf("the server says %+v, %v; want the GameServer's name and capacity", info, err)
	}
	r.agones.Allocate(sidecartest.Allocation{Annotations: map[string]string{"example.com/match": "it's 42"}})
	r.until("the allocation in the file", func() bool {
		env, err := os.ReadFile(filepath.Join(shared.root, r.home, "gameserver.env"))
		return err == nil && strings.Contains(string(env), `PITCREW_GAMESERVER_ANNOTATION_EXAMPLE_COM_MATCH='it'\''s 42'`)
	})
}
