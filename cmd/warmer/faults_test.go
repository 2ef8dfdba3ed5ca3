package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pitcrew-dev/pitcrew/warmer/agent"
	"github.com/pitcrew-dev/pitcrew/warmer/containerd/containerdtest"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

// blob says that a request is for a layer's bytes.
func blob(req *http.Request) bool {
	return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/")
}

func TestFaultsOfTheRegistry(t *testing.T) {
	r := newRig(t)
	status := func(code int, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			if len(header) > 1 {
				w.Header().Set(header[0], header[1])
			}
			w.WriteHeader(code)
			return true
		}
	}
	first := func(n int32, fault func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		var seen atomic.Int32
		return func(w http.ResponseWriter, req *http.Request) bool {
			return blob(req) && seen.Add(1) <= n && fault(w, req)
		}
	}
	for n, c := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request) bool
		code  int
		says  string
	}{
		{"it has no such image", status(404), 3, "not found"},
		{"it wants credentials", status(401, "WWW-Authenticate", `Basic realm="x"`), 4, "denied"},
		{"it forbids", status(403), 4, "403"},
		{"it is overloaded for a moment", first(2, status(429, "Retry-After", "1")), 0, ""},
		{"it is broken for a moment", first(3, status(500)), 0, ""},
		{"it cuts layers", first(3, cut), 0, ""},
		{"it sends other bytes", nil, 3, "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rig := &rig{T: t, node: r.node, reg: r.reg}
			tag := "fault" + string(rune('a'+n)) + ":1"
			layers := game("1")
			layers[0].Files["data/only"] = warmertest.Bytes(uint64(100+n), 2<<20)
			r.reg.Push(tag, layers...)
			r.reg.Fail(c.fault)
			r.reg.Corrupt(c.fault == nil)
			defer r.reg.Corrupt(false)
			defer r.reg.Fail(nil)
			var out pulled
			code, stderr := rig.warmer(&out, "pull", "--attempts", "1", r.reg.Reference(tag))
			if code != c.code || !strings.Contains(strings.ToLower(stderr), c.says) {
				t.Errorf("exit code %d, want %d and %q\n%s", code, c.code, c.says, stderr)
			}
			if (out.Error == "") != (c.code == 0) {
				t.Errorf("document: %+v", out)
			}
			if left := r.node.Left(); len(left.Ingests) > 0 && c.says == "damaged" {
				t.Errorf("damaged downloads are left: %v", left.Ingests)
			}
			r.reg.Fail(nil)
			r.reg.Corrupt(false)
			rig.pull(r.reg.Reference(tag)) // all is well again
			rig.wantVerified(r.reg.Reference(tag))
			var d dropped
			rig.warmer(&d, "drop", r.reg.Reference(tag))
			rig.wantLeft(0, 0, 0)
		})
	}
}

// cut sends a part of what was asked for and closes the connection.
func cut(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Content-Length", "1000000")
	w.WriteHeader(http.StatusOK)
	panic(http.ErrAbortHandler)
}

func TestABombIsStoppedAtTheDisksFloor(t *testing.T) {
	const disk = 1 << 30
	r := &rig{T: t, node: containerdtest.StartSmall(t, disk), reg: warmertest.NewRegistry(t)}
	r.node.PlainHTTP(r.reg.Host)
	bomb := game("bomb")
	bomb[3].Files["bomb"] = strings.Repeat("\x00", 900<<20) // a few kilobytes, packed
	r.reg.Push("bomb:1", bomb...)
	r.reg.Push("game:1", game("1")...)
	ref, bad := r.reg.Reference("game:1"), r.reg.Reference("bomb:1")
	a := r.agent("--image", bad, "--image", ref, "--disk-floor", "768MiB", "--containerd-root", r.node.Seen(), "--observe", "500ms")
	state := func(i int) agent.ImageStatus {
		if s := a.status(); len(s.Images) > i {
			return s.Images[i]
		}
		return agent.ImageStatus{}
	}
	r.until("the other is warm, and the bomb given up", func() bool {
		return state(1).State == agent.Warm && strings.Contains(state(0).Error, "does not fit")
	}, a.out)
	if got := a.metric(`image_error{image="` + bad + `",layers="all",platform="",reason="disk"}`); got != "1" {
		t.Errorf("image_error = %q, want 1", got)
	}
	r.until("the room is there again", func() bool { return a.status().DiskFree > disk-(40<<20) }, a.out)
	r.wantVerified(ref)
	a.kill()
	r.wantLeft(3, documents+layers, layers)
}

func TestWhatDoesNotFitIsNotBegun(t *testing.T) {
	r := &rig{T: t, node: containerdtest.StartSmall(t, 32<<20), reg: warmertest.NewRegistry(t)}
	r.node.PlainHTTP(r.reg.Host)
	r.reg.Push("game:1", game("1")...)
	r.reg.Reset()
	code, stderr := r.warmer(nil, "pull", "--disk-floor", "16MiB", "--containerd-root", r.node.Seen(), r.reg.Reference("game:1"))
	if code != 1 || !strings.Contains(stderr, "does not fit") || r.reg.Bytes() > 1<<20 {
		t.Errorf("exit code %d, %d bytes sent, %s", code, r.reg.Bytes(), stderr)
	}
}

func TestBadInput(t *testing.T) {
	r := newRig(t)
	arch := runtime.GOARCH
	otherArch := map[string]string{"amd64": "arm64", "arm64": "amd64"}[arch]
	foreign := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: warmertest.Image(t, otherArch, game("1")...)})
	r.reg.PushIndex("foreign:1", foreign)
	unsaid := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: warmertest.Image(t, arch, game("1")...)})
	r.reg.PushIndex("unsaid:1", unsaid)
	r.reg.PushImage("foreign:2", warmertest.Image(t, otherArch, game("1")...))
	many := slices.Repeat([]warmertest.Layer{{Files: map[string]string{"file": "x"}}}, 500)
	r.reg.PushImage("many:500", warmertest.Image(t, arch, many...))
	r.reg.PushImage("many:120", warmertest.Image(t, arch, many[:120]...))
	r.reg.PushImage("plain:1", warmertest.Image(t, arch, warmertest.Layer{Files: map[string]string{"game": "x"}}))
	r.reg.PushImage("empty:1", warmertest.Image(t, arch))
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"a reference that does not parse", []string{"pull", "NOT A REFERENCE"}, 2, "NOT A REFERENCE"},
		{"layers that are not known", []string{"pull", "--layers", "some", "a"}, 2, "some"},
		{"an index without the platform", []string{"pull", r.reg.Reference("foreign:1")}, 3, "linux/" + otherArch},
		{"an image of another platform", []string{"pull", r.reg.Reference("foreign:2")}, 3, "linux/" + otherArch},
		{"500 layers", []string{"pull", r.reg.Reference("many:500")}, 3, "500 layers"},
		{"assets of an image without annotations", []string{"pull", "--layers", "assets", r.reg.Reference("plain:1")}, 3, "dev.pitcrew.phase"},
		{"an index that does not say for which platform", []string{"pull", r.reg.Reference("unsaid:1")}, 0, ""},
		{"120 layers", []string{"pull", r.reg.Reference("many:120")}, 0, ""},
		{"an image without annotations", []string{"pull", r.reg.Reference("plain:1")}, 0, ""},
		{"an image without layers", []string{"pull", r.reg.Reference("empty:1")}, 0, ""},
		{"no image to keep", []string{"agent"}, 2, "--image"},
		{"an unknown output", []string{"ls", "--output", "xml"}, 2, "xml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stderr := (&rig{T: t, node: r.node, reg: r.reg}).warmer(nil, c.args[0], c.args[1:]...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("warmer %q: exit code %d, want %d and %q\n%s", c.args, code, c.code, c.says, stderr)
			}
		})
	}
}

func TestASocketThatIsNotContainerds(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	defer func() { server.Close(); <-done }()
	for path, says := range map[string]string{
		filepath.Join(dir, "nothing"): "no socket at",
		dir:                           "is not a socket",
		path:                          "does not answer as containerd does",
	} {
		for _, args := range [][]string{{"pull", "a"}, {"agent", "--image", "a"}, {"ls"}, {"verify", "a"}, {"drop", "a"}} {
			var stdout, stderr bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			code := run(ctx, append(args, "--containerd", path), none, &stdout, &stderr)
			cancel()
			if code == 0 || code == 2 || !strings.Contains(stderr.String(), says) || !strings.Contains(stderr.String(), path) {
				t.Errorf("warmer %q with %s: exit code %d, %s; want %q", args, path, code, &stderr, says)
			}
		}
	}
}
