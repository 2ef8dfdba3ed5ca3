package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/containerd"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

// who fetches a blob, by their User-Agent.
const byContainerd, byWarmer = "containerd", "pitcrew-warmer"

// wantFetchedBy says who asked for the layers; the configuration is always asked for by warmer.
func (r *rig) wantFetchedBy(containerd, warmer int) {
	r.Helper()
	if !r.node.Transfers() {
		containerd, warmer = 0, containerd+warmer
	}
	if c, w := r.reg.Blobs(byContainerd), r.reg.Blobs(byWarmer); c != containerd || w != warmer {
		r.Errorf("containerd asked for %d blobs and warmer for %d, want %d and %d", c, w, containerd, warmer)
	}
}

func TestContainerdFetchesByItselfWhileNothingIsLimited(t *testing.T) {
	r := newRig(t)
	for n, c := range []struct {
		name       string
		args       []string
		containerd int
	}{
		{"no limit", nil, layers},
		{"a bandwidth", []string{"--bandwidth", "1GiB"}, 0},
		{"fewer at a time than containerd fetches", []string{"--fetches", "2"}, 0},
		{"it is told not to", []string{"--transfer=false"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig := &rig{T: t, node: r.node, reg: r.reg}
			tag := fmt.Sprintf("by%d:1", n)
			all := game("1")
			for i := range all {
				all[i].Files[fmt.Sprint("only", n)] = warmertest.Bytes(uint64(10*n+i), 1<<20)
			}
			r.reg.Push(tag, all...)
			r.reg.Reset()
			var got pulled
			code, stderr := rig.warmer(&got, "pull", append(c.args, r.reg.Reference(tag))...)
			if code != 0 || !strings.Contains(stderr, "progress: 15 MB") {
				t.Errorf("exit code %d, want 0 and all 15 MB on the bars\n%s", code, stderr)
			}
			if sent := r.reg.Bytes(); got.PulledBytes < 14<<20 || sent < got.PulledBytes || sent > got.PulledBytes+1<<20 {
				t.Errorf("%+v, and %d bytes sent: want each once, and counted", got, sent)
			}
			rig.wantFetchedBy(c.containerd, layers+1-c.containerd)
			rig.wantVerified(r.reg.Reference(tag))
			var d dropped
			rig.warmer(&d, "drop", r.reg.Reference(tag))
			rig.wantLeft(0, 0, 0)
		})
	}
}

func TestContainerdHasTheCredentialsForWhatItFetches(t *testing.T) {
	r := newRig(t)
	r.reg.Push("private:1", game("1")...)
	r.reg.Login("user", "secret")
	defer r.reg.Fail(nil)
	config := filepath.Join(t.TempDir(), "config.json")
	text := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, r.reg.Host, base64.StdEncoding.EncodeToString([]byte("user:secret")))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.pull("--docker-config", config, r.reg.Reference("private:1"))
	// Each of them is refused first, and asked how it wants to be.
	if c, w := r.reg.Blobs(byContainerd), r.reg.Blobs(byWarmer); r.node.Transfers() && (c < layers || w > 2) {
		t.Errorf("containerd asked for %d blobs and warmer for %d, want the layers by containerd", c, w)
	}
	if strings.Contains(r.node.Log(), "secret") {
		t.Error("the password is in containerd's log")
	}
}

func TestATransferThatIsCutGoesOnWhereItWas(t *testing.T) {
	r := newRig(t)
	big := game("1")
	big[0].Files["data/world"] = warmertest.Bytes(9, 40<<20)
	r.reg.Push("game:1", big...)
	var cuts atomic.Int32
	r.reg.Fail(func(w http.ResponseWriter, req *http.Request) bool {
		if !blob(req) || !strings.HasPrefix(req.UserAgent(), byContainerd) || cuts.Add(1) > 2 {
			return false
		}
		return cut(w, req)
	})
	got := r.pull(r.reg.Reference("game:1"))
	if sent := r.reg.Bytes(); sent > 50<<20 {
		t.Errorf("%+v, and %d bytes sent for an image of 49 MiB", got, sent)
	}
	r.wantVerified(r.reg.Reference("game:1"))
	r.wantLeft(3, documents+layers, layers)
}

func TestATransferThatHangsIsGivenUp(t *testing.T) {
	r := newRig(t)
	r.reg.Push("game:1", game("1")...)
	let := make(chan struct{})
	defer close(let)
	r.reg.Fail(func(w http.ResponseWriter, req *http.Request) bool {
		if !blob(req) || !strings.HasPrefix(req.UserAgent(), byContainerd) {
			return false
		}
		<-let
		return cut(w, req)
	})
	runtime, err := containerd.Open(t.Context(), containerd.Options{Socket: r.node.Socket, Stall: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.Close()
	client, err := registry.New(registry.Options{HostsDir: r.node.Hosts(), Big: bigLayer})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	access := client.Access()
	a := agent.New(agent.Options{Runtime: runtime, Registry: client, Access: &access, Alone: agent.Pace{Fetches: 4, Unpacks: 2}})
	want := warmer.Want{Ref: r.reg.Reference("game:1"), Layers: warmer.All, Pin: true}
	if got, err := a.Pull(t.Context(), want); err != nil || got[0].Err != nil {
		t.Fatalf("Pull = %+v, %v", got, err)
	}
	if n := r.reg.Blobs(byWarmer); n != layers+1 {
		t.Errorf("warmer asked for %d blobs, want all of them", n)
	}
	r.wantLeft(3, documents+layers, layers)
}

func TestAnAgentHasImagesTransferred(t *testing.T) {
	r := newRig(t)
	r.reg.Push("game:1", game("1")...)
	ref := r.reg.Reference("game:1")
	r.reg.Reset()
	a := r.agent("--image", ref)
	r.until("it is warm", func() bool { s := a.status(); return len(s.Images) == 1 && s.Images[0].State == agent.Warm }, a.out)
	r.wantFetchedBy(layers, 1)
	if got := a.metric(`pulled_bytes_total{phase="assets"}`); !strings.HasPrefix(got, "8.") || !strings.HasSuffix(got, "e+06") {
		t.Errorf("pulled_bytes_total of assets = %s, want their 8 MiB", got)
	}
	if got := a.metric(`fetch_seconds_count{phase="assets"}`); got != "2" {
		t.Errorf("fetch_seconds_count of assets = %s, want its two layers", got)
	}
	r.wantVerified(ref)
}
