package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/internal/outputtest"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

// agentRun is an agent in a process of its own.
type agentRun struct {
	r   *rig
	cmd *exec.Cmd
	out *outputtest.Output
	url string
}

// agent starts one; it is killed when the test ends.
func (r *rig) agent(args ...string) *agentRun {
	r.Helper()
	self, err := os.Executable()
	if err != nil {
		r.Fatal(err)
	}
	a := &agentRun{r: r, out: &outputtest.Output{}}
	args = r.args("agent", append([]string{"--listen", "127.0.0.1:0", "--log-format", "json"}, args...)...)
	a.cmd = exec.CommandContext(context.WithoutCancel(r.Context()), self, args...)
	a.cmd.Env = append(os.Environ(), mainEnv+"=1")
	a.cmd.Stdout, a.cmd.Stderr = a.out, a.out
	if err := a.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(a.kill)
	return a
}

// kill ends the process with the signal that it cannot see.
func (a *agentRun) kill() {
	_ = a.cmd.Process.Kill() // it may have ended
	_ = a.cmd.Wait()         // or have been waited for
}

// listens waits for the address.
func (a *agentRun) listens() string {
	a.r.Helper()
	a.r.until("the agent serves", func() bool {
		for line := range strings.Lines(a.out.String()) {
			var fields struct{ Msg, Listen string }
			if json.Unmarshal([]byte(line), &fields) == nil && fields.Msg == "agent started" {
				a.url = "http://" + fields.Listen
			}
		}
		return a.url != ""
	}, a.out)
	return a.url
}

func (a *agentRun) get(path string) (int, string) {
	a.r.Helper()
	if a.url == "" {
		a.listens()
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Get(a.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(raw)
}

func (a *agentRun) status() agent.Status {
	a.r.Helper()
	var s agent.Status
	if code, raw := a.get("/status"); code == http.StatusOK {
		if err := json.Unmarshal([]byte(raw), &s); err != nil {
			a.r.Fatalf("/status: %v in %s", err, raw)
		}
	}
	return s
}

// metric is the value of a time series, "" if there is none.
func (a *agentRun) metric(series string) string {
	a.r.Helper()
	_, page := a.get("/metrics")
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, "pitcrew_warmer_"+series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// warm says that all images are.
func (a *agentRun) warm() bool {
	s := a.status()
	warm := len(s.Images) > 0
	for _, i := range s.Images {
		warm = warm && i.State == agent.Warm
	}
	return warm
}

func (a *agentRun) untilWarm() {
	a.r.Helper()
	a.r.until("all images are warm", a.warm, a.out)
}

// until waits for something, and fails with more if it does not come.
func (r *rig) until(what string, is func() bool, more ...fmt.Stringer) {
	r.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			r.Fatalf("waited in vain until %s\n%v\n%s", what, more, r.node.Log())
		}
	}
}

// slowly has the registry send blobs at a number of bytes per second.
func (r *rig) slowly(bytesPerSecond int) { r.reg.Pace(bytesPerSecond) }

// program is a static program that says which files it finds.
func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const source = `package main

import "os"

func main() {
	for _, dir := range []string{"data", "etc"} {
		files, err := os.ReadDir("/" + dir)
		if err != nil {
			panic(err)
		}
		for _, f := range files {
			println(dir + "/" + f.Name())
		}
	}
}
`
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", "game", "main.go")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "game"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAContainerStartsFromAWarmImageWithoutAByte(t *testing.T) {
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("needs runc")
	}
	r := newRig(t)
	game := game("1")
	game[3].Files = map[string]string{"game": program(t)}
	game[4].Files[".wh.unused"], game[4].Files["data/.wh.karts"], game[4].Files["data/lap"] = "", "", "1"
	r.reg.Push("game:1", game...)
	ref := r.reg.Reference("game:1")
	a := r.agent("--image", ref)
	a.untilWarm()
	r.reg.Reset()
	if out := r.node.Inside("run", "--rm", ref, "match"); !strings.Contains(out, "data/lap\ndata/tracks\netc/game.conf\n") {
		t.Errorf("the container finds %q", out)
	}
	if n := r.reg.Requests(""); n != 0 {
		t.Errorf("%d requests to start a container from a warm image", n)
	}
	r.until("the start was counted", func() bool { return a.metric(`container_starts_total{result="hit"}`) == "1" }, a.out)
	if saved, err := strconv.ParseFloat(a.metric("container_start_saved_bytes_total"), 64); err != nil || saved < 9<<20 {
		t.Errorf("saved bytes = %v, %v", saved, err)
	}
}

func TestAnAgentRepairsWhatOthersRemove(t *testing.T) {
	r := newRig(t)
	r.reg.Push("game:1", game("1")...)
	ref := r.reg.Reference("game:1")
	a := r.agent("--image", ref)
	a.untilWarm()
	for _, path := range []string{"/healthz", "/readyz", "/status", "/metrics"} {
		if code, said := a.get(path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, said)
		}
	}
	r.node.Ctr("images", "rm", "--sync", ref, strings.Split(ref, ":")[0]+":"+strings.Split(ref, ":")[1]+"@"+string(a.status().Images[0].Digest), r.node.Left().Images[2])
	r.until("the loss was seen", func() bool { return a.metric("images_lost_total") == "1" }, a.out)
	a.untilWarm()
	r.wantLeft(3, documents+layers, layers)
	r.wantVerified(ref)
	r.until("its labels are back after a pull by CRI", func() bool { return len(r.node.Left().Leases) == 0 && a.warm() }, a.out)
}

func TestWhatIsNotWantedAnyMoreGoes(t *testing.T) {
	r := newRig(t)
	r.reg.Push("game:1", game("1")...)
	r.reg.Push("game:2", game("2")...)
	one, two := r.reg.Reference("game:1"), r.reg.Reference("game:2")
	a := r.agent("--image", one, "--image", two)
	a.untilWarm()
	a.kill()
	b := r.agent("--image", two, "--grace", "1s", "--observe", "200ms")
	b.untilWarm()
	r.until("the old one is gone", func() bool { return len(r.node.Left().Images) == 3 }, b.out)
	r.wantLeft(3, documents+layers, layers)
	r.wantVerified(two)
}

func TestAnAgentThatIsKilledGoesOn(t *testing.T) {
	r := newRig(t)
	digest := r.reg.Push("game:1", game("1")...)
	ref := r.reg.Reference("game@" + digest)
	r.slowly(8 << 20)
	const kills = 20
	for n := range kills {
		a := r.agent("--image", ref)
		timer := time.NewTimer(time.Duration(20+35*n) * time.Millisecond) // from before it connects until it is done
		<-timer.C
		a.kill()
	}
	sent := r.reg.Bytes()
	a := r.agent("--image", ref)
	a.untilWarm()
	r.wantLeft(2, documents+layers, layers)
	r.wantVerified(ref)
	t.Logf("%d bytes were sent to agents that were killed, then %d", sent, r.reg.Bytes()-sent)
}

// What a cut may cost: the ranges that were read ahead, of as many layers as are fetched at a time.
const readAhead = 4 * rangesAtOnce * rangeBytes

func TestContainerdIsRestartedInAPull(t *testing.T) {
	r := newRig(t)
	big := game("1")
	big[0].Files["data/more"] = warmertest.Bytes(9, 50<<20)
	digest := r.reg.Push("game:1", big...)
	ref := r.reg.Reference("game@" + digest)
	r.slowly(30 << 20)
	a := r.agent("--image", ref, "--observe", "1s")
	r.until("two thirds were sent", func() bool { return r.reg.Bytes() > 40<<20 }, a.out)
	r.node.Restart()
	a.untilWarm()
	r.wantLeft(2, documents+layers, layers)
	r.wantVerified(ref)
	if sent := r.reg.Bytes(); sent > 60<<20+readAhead {
		t.Errorf("%d bytes were sent for an image of 59 MiB, want no more than %d again", sent, readAhead)
	}
}

func TestTwoAgentsAtOnce(t *testing.T) {
	r := newRig(t)
	r.reg.Push("game:1", game("1")...)
	ref := r.reg.Reference("game:1")
	r.slowly(20 << 20)
	a, b := r.agent("--image", ref), r.agent("--image", ref)
	a.untilWarm()
	b.untilWarm()
	if sent := r.reg.Bytes(); sent > 10<<20 {
		t.Errorf("%d bytes were sent to two agents for an image of 9 MiB", sent)
	}
	a.kill()
	b.kill()
	r.wantLeft(3, documents+layers, layers)
	r.wantVerified(ref)
}
