package live_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
	"github.com/pitcrew-dev/pitcrew/internal/outputtest"
	"github.com/pitcrew-dev/pitcrew/sidecar"
	"github.com/pitcrew-dev/pitcrew/sidecar/sidecartest"
)

// rig is a pod: the SDK server, the sidecar, the game, and the players who come.
type rig struct {
	t      testing.TB
	agones *sidecartest.Server
	home   string // the game's, below the root file system
	game   *exec.Cmd
	side   *exec.Cmd
	sideOut, gameOut,
	botOut *outputtest.Output
}

const sdkPort = "9357"

// newRig starts Agones.
func newRig(t testing.TB) *rig {
	t.Helper()
	return newRigWith(t, sidecartest.Options{})
}

// newRigWith starts one with a GameServer as a Fleet of the example has it.
func newRigWith(t testing.TB, o sidecartest.Options) *rig {
	t.Helper()
	r := &rig{t: t, home: "/tmp/" + strings.ReplaceAll(t.Name(), "/", "-"), sideOut: &outputtest.Output{}, gameOut: &outputtest.Output{}, botOut: &outputtest.Output{}}
	o.GameServer = sidecar.GameServer{
		Lists:    map[string]sidecar.List{"players": {Capacity: 8}},
		Counters: map[string]sidecar.Counter{"races": {Capacity: 1000}},
		Health:   sidecar.HealthSettings{Period: 2 * time.Second, FailureThreshold: 3, InitialDelay: 2 * time.Second},
	}
	r.agones = sidecartest.New(o)
	t.Cleanup(r.agones.Close)
	r.serveSDK()
	inside := filepath.Join(shared.root, r.home)
	r.folder(inside)
	r.configure()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("sidecar:\n%s\nSDK calls: %v\ngame's log:\n%s", r.sideOut, r.agones.Calls(), tailOf(r.log()))
		}
		if err := os.RemoveAll(inside); err != nil {
			t.Error(err)
		}
	})
	return r
}

// configure writes the server's configuration, with other values than the usual: KEY, VALUE, KEY, VALUE.
func (r *rig) configure(values ...string) {
	r.t.Helper()
	set := map[string]string{"server-name": "live"}
	for i := 0; i < len(values); i += 2 {
		set[values[i]] = values[i+1]
	}
	if err := os.WriteFile(filepath.Join(shared.root, r.home, "server.xml"), []byte(container.Config(set)), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func tailOf(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-3000):])
}

func (r *rig) serveSDK() {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+sdkPort)
	if err != nil {
		r.t.Fatal(err)
	}
	r.agones.ServeOn(l)
}

func (r *rig) log() string {
	return filepath.Join(shared.root, r.home, ".config/supertuxkart/config-0.10/server.log")
}

// inGame is a program of the game's file system, as its user.
func (r *rig) inGame(home string, args ...string) *exec.Cmd {
	cmd := exec.Command("chroot", append([]string{"--userspec=65532:65532", shared.root}, args...)...)
	cmd.Env = []string{"HOME=" + home, "SUPERTUXKART_DATADIR=/usr/share/games/supertuxkart", "PATH=" + os.Getenv("PATH")}
	return cmd
}

func (r *rig) server() *exec.Cmd {
	return r.inGame(r.home, "/usr/games/supertuxkart", "--server-config="+r.home+"/server.xml", "--log=nocolor")
}

// start runs a program until the test ends.
func (r *rig) start(cmd *exec.Cmd, out io.Writer) *exec.Cmd {
	r.t.Helper()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	return cmd
}

// startGame starts the server in a container of its own, beside the sidecar.
func (r *rig) startGame() {
	r.t.Helper()
	cmd := r.server()
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { in.Close() })
	r.game = r.start(cmd, r.gameOut)
}

// end ends what runs, so that another pod can take its place within one test.
func (r *rig) end() {
	for _, cmd := range []*exec.Cmd{r.side, r.game} {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
	r.agones.Close()
	if err := os.RemoveAll(filepath.Dir(r.log())); err != nil {
		r.t.Error(err)
	}
}

// startSidecar starts it with what its container has, and more flags.
func (r *rig) startSidecar(flags ...string) {
	r.t.Helper()
	r.side = r.start(r.sidecar(flags...), r.sideOut)
}

// sidecar is the program as its container runs it: another user than root, without any capability, on a root file system that
// it cannot write and that has nothing but the program, the kernel's tables, and the folder that the game's container shares.
func (r *rig) sidecar(flags ...string) *exec.Cmd {
	r.t.Helper()
	r.container()
	args := []string{"run", "--sdk-address", "127.0.0.1:" + sdkPort, "--listen", "127.0.0.1:9096", "--log", "/config/supertuxkart/config-0.10/server.log"}
	cmd := exec.Command("/sidecar", append(args, flags...)...)
	cmd.Dir, cmd.Env = "/", []string{"HOME=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: sideRoot, Credential: gameUser}
	return cmd
}

var gameUser = &syscall.Credential{Uid: 65532, Gid: 65532}

// sideRoot is in this test's own mount namespace, as is all that is mounted on it.
const sideRoot = "/mnt"

func (r *rig) container() {
	r.t.Helper()
	if _, err := os.Stat(sideRoot + "/sidecar"); err == nil {
		return
	}
	config := filepath.Join(shared.root, r.home, ".config")
	r.folder(config)
	try := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	try(unix.Mount("sidecar", sideRoot, "tmpfs", 0, "mode=0755"))
	bind(r.t, "/proc", sideRoot+"/proc")
	bind(r.t, config, sideRoot+"/config")
	try(os.WriteFile(sideRoot+"/sidecar", nil, 0o755))
	try(unix.Mount(shared.sidecar, sideRoot+"/sidecar", "", unix.MS_BIND, ""))
	try(unix.Mount("", sideRoot, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
}

func bind(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
}

// folder makes one of the game's user.
func (r *rig) folder(path string) {
	r.t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chown(path, int(gameUser.Uid), int(gameUser.Gid)); err != nil {
		r.t.Fatal(err)
	}
}

// wrapper is the sidecar as the entrypoint of the game's container.
func (r *rig) wrapper(flags ...string) *exec.Cmd {
	r.t.Helper()
	bind(r.t, "/proc", filepath.Join(shared.root, "proc"))
	program := filepath.Join(shared.root, "tmp", "sidecar-"+filepath.Base(r.home)) // /tmp is there in every image
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := unix.Mount(shared.sidecar, program, "", unix.MS_BIND, ""); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(program, unix.MNT_DETACH), os.Remove(program)); err != nil {
			r.t.Error(err)
		}
	})
	args := []string{"run", "--sdk-address", "127.0.0.1:" + sdkPort, "--listen", "127.0.0.1:9096", "--log", strings.TrimPrefix(r.log(), shared.root)}
	args = append(append(args, flags...), "--", "/usr/games/supertuxkart", "--server-config="+r.home+"/server.xml", "--log=nocolor")
	cmd := exec.Command(strings.TrimPrefix(program, shared.root), args...)
	cmd.Dir, cmd.Env = "/", r.server().Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: shared.root, Credential: gameUser}
	return cmd
}

// wrap starts the server as the sidecar's child.
func (r *rig) wrap(flags ...string) {
	r.t.Helper()
	r.side = r.start(r.wrapper(flags...), r.sideOut)
}

// pod starts game and sidecar in one of the two ways.
func (r *rig) pod(wrapped bool, flags ...string) {
	r.t.Helper()
	if wrapped {
		r.wrap(flags...)
		return
	}
	r.startSidecar(flags...)
	r.startGame()
}

// bots lets n bots come.
func (r *rig) bots(n int) *exec.Cmd {
	r.t.Helper()
	home := filepath.Join(r.home, fmt.Sprintf("bots%d", time.Now().UnixNano()))
	r.folder(filepath.Join(shared.root, home))
	return r.start(r.inGame(home, "/usr/games/supertuxkart", "--connect-now=127.0.0.1:2759", fmt.Sprintf("--network-ai=%d", n), "--no-graphics"), r.botOut)
}

// until waits for what is observed from outside; patience is for a loaded machine.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	r.within(90*time.Second, what, ok)
}

func (r *rig) within(d time.Duration, what string, ok func() bool) {
	r.t.Helper()
	deadline := time.After(d)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("not within %s: %s; GameServer %+v", d, what, r.agones.GameServer())
		}
	}
}

func (r *rig) untilState(want sidecar.AgonesState) {
	r.t.Helper()
	r.until("state "+string(want), func() bool { return r.agones.GameServer().State == want })
}

func (r *rig) untilPlayers(n int) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d players in the list", n), func() bool { return len(r.players()) == n })
}

func (r *rig) players() []string { return r.agones.GameServer().Lists["players"].Values }

func (r *rig) annotation(key string) string {
	return r.agones.GameServer().Annotations[sidecar.SDKPrefix+key]
}

func (r *rig) pings() int {
	n := 0
	for _, c := range r.agones.Calls() {
		if c == "Health" {
			n++
		}
	}
	return n
}

func (r *rig) calls(name string) int {
	return len(slices.DeleteFunc(r.agones.Calls(), func(c string) bool { return c != name && !strings.HasPrefix(c, name+" ") }))
}

// status is what the sidecar says of itself.
func (r *rig) status() map[string]any {
	resp, err := http.Get("http://127.0.0.1:9096/status")
	if err != nil {
		return nil // not yet, or no longer
	}
	defer resp.Body.Close()
	var s map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) untilMatch(want string) {
	r.t.Helper()
	r.until("match "+want, func() bool { return r.status()["match"] == want })
}

// pid is the server's process, which chroot became.
func (r *rig) pid() int {
	r.t.Helper()
	if r.game != nil {
		return r.game.Process.Pid
	}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.side.Process.Pid)) // each thread has its own
	if err != nil {
		r.t.Fatal(err)
	}
	for _, list := range lists {
		var pid int
		if out, err := os.ReadFile(list); err == nil {
			if _, err := fmt.Sscan(string(out), &pid); err == nil {
				return pid
			}
		}
	}
	r.t.Fatal("the sidecar has no child")
	return 0
}

func (r *rig) signal(pid int, s syscall.Signal) {
	r.t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		r.t.Fatal(err)
	}
}

// metric is a sample of the sidecar's metrics, by its name and labels as they are printed.
func (r *rig) metric(name string) string {
	r.t.Helper()
	resp, err := http.Get("http://127.0.0.1:9096/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindSubmatch(raw)
	if m == nil {
		return ""
	}
	return string(m[1])
}
