package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/container"
	"github.com/pitcrew-dev/pitcrew/examples/supertuxkart/namespace"
)

// pod is a game server's pod with its players, in namespaces of its own.
type pod struct {
	// Server and Bots are unpacked images, Sidecar is the program.
	Server, Bots, Sidecar string
}

const (
	agonesREST = "http://127.0.0.1:9358"
	sidecarURL = "http://127.0.0.1:9096"
	home       = "/tmp/demo"
	patience   = 2 * time.Minute
)

// runPod is the whole process in the namespaces.
func runPod(described string, stdout, stderr io.Writer) int {
	var p pod
	err := json.Unmarshal([]byte(described), &p)
	if err == nil {
		err = namespace.Settle()
	}
	if err == nil {
		err = p.session(context.Background(), stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "demo: error:", err)
		return 1
	}
	return 0
}

func (p *pod) session(ctx context.Context, stdout io.Writer) error {
	var mu sync.Mutex
	say := func(who, what string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(stdout, "%-8s %s\n", who, what)
	}
	if err := p.folders(); err != nil {
		return err
	}
	agones := exec.CommandContext(ctx, p.Sidecar, "dev-server", "--log-level", "warn")
	if err := agones.Start(); err != nil {
		return err
	}
	if err := eventually(ctx, "the SDK server", func() bool { _, err := get[any](ctx, agonesREST+"/gameserver"); return err == nil }); err != nil {
		return err
	}
	over := make(chan struct{}) // closed when it was told that all is over
	go p.tellOfAgones(ctx, say, over)
	sidecar := exec.CommandContext(ctx, p.Sidecar, "run", "--listen", "127.0.0.1:9096", "--empty-grace", "3s", "--log-format", "json",
		"--log", filepath.Join(p.Server, home, "config/supertuxkart/config-0.10/server_config.log"))
	log, err := sidecar.StderrPipe()
	if err != nil {
		return err
	}
	if err := sidecar.Start(); err != nil {
		return err
	}
	go func() { // until this process ends
		for lines := bufio.NewScanner(log); lines.Scan(); {
			say("sidecar", lines.Text())
		}
	}()
	if _, err := p.game(p.Server, home, "--server-config="+home+"/server_config.xml", "--log=nocolor"); err != nil {
		return err
	}
	if err := p.play(ctx, say); err != nil {
		return err
	}
	select {
	case <-over:
		return nil
	case <-time.After(patience):
		return errors.New("the watch does not tell of the end")
	}
}

// play is what matchmaker and players do.
func (p *pod) play(ctx context.Context, say func(who, what string)) error {
	if err := until(ctx, "Ready", func(g gameServer) bool { return g.Status.State == "Ready" }); err != nil {
		return err
	}
	say("demo", "a matchmaker allocates the server")
	resp, err := http.Post(agonesREST+"/dev/allocate", "application/json", nil) //nolint:noctx // in this pod
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // nothing is in it
	if err := until(ctx, "a server that accepts players", func(g gameServer) bool { return g.Meta.Annotations["agones.dev/sdk-session-state"] == "accepting" }); err != nil {
		return err
	}
	say("demo", "three bots come, of two clients")
	var bots []*exec.Cmd
	for i, n := range []string{"2", "1"} {
		bot, err := p.game(p.Bots, fmt.Sprintf("%s/%d", home, i), "--connect-now=127.0.0.1:2759", "--network-ai="+n, "--no-graphics")
		if err != nil {
			return err
		}
		bots = append(bots, bot)
	}
	if err := until(ctx, "three players", func(g gameServer) bool { return len(g.Status.Lists["players"].Values) == 3 }); err != nil {
		return err
	}
	if err := until(ctx, "a race that came to its end", func(g gameServer) bool {
		return g.Status.Counters["races"].Count != "" && g.Status.Counters["races"].Count != "0"
	}); err != nil {
		return err
	}
	if err := until(ctx, "three players after the race", func(g gameServer) bool { return g.Meta.Labels["agones.dev/sdk-players"] == "3" }); err != nil {
		return err
	}
	p.showMetrics(ctx, say)
	say("demo", "the bots leave")
	for _, bot := range bots {
		if err := bot.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	return until(ctx, "the end", func(g gameServer) bool { return g.Status.State == "Shutdown" })
}

func (p *pod) folders() error {
	for _, dir := range []string{p.Server + home, p.Bots + home, p.Bots + home + "/0", p.Bots + home + "/1"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chown(dir, 65532, 65532); err != nil {
			return err
		}
	}
	return os.WriteFile(p.Server+home+"/server_config.xml", []byte(container.Config(nil)), 0o644) //nolint:gosec // another user reads it
}

// game starts the game of an unpacked image as its user.
func (p *pod) game(root, home string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command("/usr/games/supertuxkart", args...) //nolint:noctx // it ends with this process
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home + "/config", "SUPERTUXKART_DATADIR=/usr/share/games/supertuxkart"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	if _, err := cmd.StdinPipe(); err != nil { // at the end of its input its console would spin
		return nil, err
	}
	return cmd, cmd.Start()
}

// gameServer is the part of a GameServer, in the SDK's JSON, that is looked at.
type gameServer struct {
	Meta struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"object_meta"`
	Status struct {
		State    string                            `json:"state"`
		Counters map[string]struct{ Count string } `json:"counters"`
		Lists    map[string]struct{ Values []string }
	} `json:"status"`
}

// line is what the demo prints of it.
func (g gameServer) line() string {
	l := g.Meta.Labels
	return fmt.Sprintf("%-9s phase %-9s players %s, track %s, races %s", g.Status.State, l["agones.dev/sdk-phase"],
		strings.Join(g.Status.Lists["players"].Values, " "), l["agones.dev/sdk-track"], g.Status.Counters["races"].Count)
}

// tellOfAgones prints what changes, until this process ends, and all of the pod with it.
func (p *pod) tellOfAgones(ctx context.Context, say func(who, what string), over chan<- struct{}) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, agonesREST+"/watch/gameserver", nil)
	if err != nil {
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	var last string
	for in := json.NewDecoder(resp.Body); ; {
		var update struct{ Result gameServer }
		if err := in.Decode(&update); err != nil {
			return
		}
		if now := update.Result.line(); now != last {
			last = now
			say("agones", now)
		}
		if update.Result.Status.State == "Shutdown" {
			close(over)
			return
		}
	}
}

func (p *pod) showMetrics(ctx context.Context, say func(who, what string)) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, sidecarURL+"/metrics", nil)
	if err != nil {
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		say("demo", err.Error())
		return
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		for _, name := range []string{"players", "player_joins_total", "races_total", "health_pings_total", "players_cut_off_total", "log_lines_total", "query_seconds_count"} {
			if l := lines.Text(); strings.HasPrefix(l, "pitcrew_sidecar_"+name+" ") || strings.HasPrefix(l, "pitcrew_sidecar_"+name+"{") {
				say("metrics", l)
			}
		}
	}
}

func get[T any](ctx context.Context, url string) (v T, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return v, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	return v, json.NewDecoder(resp.Body).Decode(&v)
}

func until(ctx context.Context, what string, ok func(gameServer) bool) error {
	return eventually(ctx, what, func() bool {
		g, err := get[gameServer](ctx, agonesREST+"/gameserver")
		return err == nil && ok(g)
	})
}

func eventually(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("waited in vain for " + what)
		}
	}
	return nil
}
