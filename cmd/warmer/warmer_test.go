package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/warmer/containerd/containerdtest"
	"github.com/pitcrew-dev/pitcrew/warmer/cri"
	"github.com/pitcrew-dev/pitcrew/warmer/kube/kubetest"
	"github.com/pitcrew-dev/pitcrew/warmer/warmertest"
)

// mainEnv is set where the test's own program is to be warmer.
const mainEnv = "PITCREW_TEST_WARMER"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		main()
	}
	goleak.VerifyTestMain(kubetest.M{M: m})
}

func none(string) string { return "" }

// rig is a containerd and a registry.
type rig struct {
	*testing.T
	node *containerdtest.Daemon
	reg  *warmertest.Registry
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, node: containerdtest.Start(t), reg: warmertest.NewRegistry(t)}
	r.node.PlainHTTP(r.reg.Host)
	return r
}

// args are a command's with the flags that this node needs.
func (r *rig) args(command string, args ...string) []string {
	out := []string{command, "--containerd", r.node.Socket, "--output", "json"}
	if command == "pull" || command == "agent" {
		out = append(out, "--hosts-dir", r.node.Hosts(), "--disk-floor-percent", "1")
	}
	return append(out, args...)
}

// warmer runs a command, reads its document into v, and returns its exit code and what it said.
func (r *rig) warmer(v any, command string, args ...string) (int, string) {
	r.Helper()
	var stdout, stderr bytes.Buffer
	code := run(r.Context(), r.args(command, args...), none, &stdout, &stderr)
	if stdout.Len() > 0 && v != nil {
		if err := json.Unmarshal(stdout.Bytes(), v); err != nil {
			r.Fatalf("warmer %s %q: %v in %s", command, args, err, &stdout)
		}
	}
	return code, stderr.String()
}

// pull has to go well.
func (r *rig) pull(args ...string) pulled {
	r.Helper()
	var out pulled
	if code, stderr := r.warmer(&out, "pull", args...); code != 0 {
		r.Fatalf("warmer pull %q: exit code %d\n%s\n%s", args, code, stderr, r.node.Log())
	}
	return out
}

// wantVerified has kubelet's questions answered, without a byte.
func (r *rig) wantVerified(ref string) {
	r.Helper()
	before := r.reg.Bytes()
	var out verified
	if code, stderr := r.warmer(&out, "verify", "--pull", ref); code != 0 || !out.Warm || out.Pinned != r.node.Pins() || out.NewBytes == nil || *out.NewBytes != 0 {
		r.Errorf("warmer verify --pull %s: exit code %d, %+v\n%s", ref, code, out, stderr)
	}
	if got := r.reg.Bytes() - before; got != 0 {
		r.Errorf("a pull by CRI fetched %d bytes of layers", got)
	}
}

// wantLeft looks for what a pull should have taken away.
func (r *rig) wantLeft(images, blobs, snapshots int) {
	r.Helper()
	want := []int{images, blobs, snapshots, 0, 0, 0}
	var left containerdtest.Left
	var got []int
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); { // an agent that is at work may be in the middle of it
		left = r.node.Left()
		got = []int{len(left.Images), len(left.Blobs), len(left.Snapshots), len(left.Unfinished), len(left.Leases), len(left.Ingests)}
		if slices.Equal(got, want) {
			return
		}
	}
	r.Errorf("images, blobs, snapshots, unfinished snapshots, leases, downloads (-want +got):\n%s\n%+v", cmp.Diff(want, got), left)
}

// game is an image of four phases: 3 blobs of documents, 5 layers, 9 MiB, of which 8 are assets.
func game(version string) []warmertest.Layer {
	return []warmertest.Layer{
		{Phase: "assets", Files: map[string]string{"data/tracks": warmertest.Bytes(1, 5<<20)}},
		{Phase: "assets", Files: map[string]string{"data/karts": warmertest.Bytes(2, 3<<20)}, Zstd: true},
		{Phase: "base", Files: map[string]string{"etc/passwd": "root", "lib/libc": warmertest.Bytes(3, 1<<20)}, Zstd: true},
		{Phase: "code", Files: map[string]string{"game": "code of " + version}, Zstd: true},
		{Phase: "server", Files: map[string]string{"etc/game.conf": "version = " + version}},
	}
}

const documents, layers = 3, 5

func TestPullMakesAnImageWarm(t *testing.T) {
	r := newRig(t)
	digest := r.reg.Push("game:1", game("1")...)
	r.reg.Reset()
	ref := r.reg.Reference("game:1")
	got := r.pull(ref)
	if string(got.Digest) != digest || got.AlreadyWarm || got.PulledBytes < 9<<20 || got.ReusedBytes != 0 {
		t.Errorf("the first pull: %+v", got)
	}
	r.wantLeft(3, documents+layers, layers)
	r.reg.Reset()
	again := r.pull(ref)
	if !again.AlreadyWarm || again.PulledBytes != 0 || again.ReusedBytes != got.PulledBytes {
		t.Errorf("the second pull: %+v", again)
	}
	if n := r.reg.Requests(""); n != 1 || r.reg.Requests("HEAD manifests") != 1 {
		t.Errorf("%d requests for a tag that is warm, want one HEAD", n)
	}
	r.reg.Reset()
	byDigest := r.reg.Reference("game@" + digest)
	if got := r.pull(byDigest); got.PulledBytes != 0 {
		t.Errorf("the pull by digest: %+v", got)
	}
	if got := r.pull(byDigest); !got.AlreadyWarm || got.Seconds > 0.1 {
		t.Errorf("the second pull by digest: %+v, want less than 100 ms", got)
	}
	if n := r.reg.Requests(""); n != 0 {
		t.Errorf("%d requests for a digest that is there, want none", n)
	}
	r.wantVerified(ref)
	r.wantVerified(byDigest)
	var list []listed
	if code, stderr := r.warmer(&list, "ls"); code != 0 || len(list) != 2 || list[0].Owner != "pull" || !list[0].Pinned {
		t.Errorf("ls after a pull by CRI: exit code %d, %+v, %s", code, list, stderr)
	}
	if got := r.pull(ref); got.PulledBytes != 0 {
		t.Errorf("after a pull by CRI: %+v", got)
	}
	var out dropped
	for _, ref := range []string{ref, byDigest} {
		if code, stderr := r.warmer(&out, "drop", ref); code != 0 || !out.Dropped {
			t.Errorf("drop: exit code %d, %+v, %s", code, out, stderr)
		}
	}
	r.wantLeft(0, 0, 0)
}

func TestAssetsFirstAndThenTheImage(t *testing.T) {
	r := newRig(t)
	r.reg.Push("game:1", game("1")...)
	r.reg.Reset()
	ref := r.reg.Reference("game:1")
	assets := r.pull("--layers", "assets", ref)
	if assets.PulledBytes < 8<<20 || assets.PulledBytes > 9<<20 || assets.AlreadyWarm {
		t.Errorf("assets: %+v", assets)
	}
	left := r.node.Left()
	if len(left.Images) != 0 || len(left.Leases) != 1 || len(left.Snapshots) != 2 || len(left.Blobs) != documents+2 || len(left.Ingests)+len(left.Unfinished) != 0 {
		t.Errorf("left of assets: %+v, want a lease that holds two layers", left)
	}
	if again := r.pull("--layers", "assets", ref); !again.AlreadyWarm {
		t.Errorf("assets again: %+v", again)
	}
	before := r.node.Ctr("snapshots", "info", left.Snapshots[0]) + r.node.Ctr("snapshots", "info", left.Snapshots[1])

	r.reg.Reset()
	all := r.pull(ref)
	if all.ReusedBytes != assets.PulledBytes || all.PulledBytes > 2<<20 || r.reg.Bytes() > 2<<20 {
		t.Errorf("all: %+v after assets of %d bytes, and %d bytes sent", all, assets.PulledBytes, r.reg.Bytes())
	}
	if after := r.node.Ctr("snapshots", "info", left.Snapshots[0]) + r.node.Ctr("snapshots", "info", left.Snapshots[1]); after != before {
		t.Errorf("an asset layer was unpacked again:\n%s\n%s", before, after)
	}
	r.wantVerified(ref)
	var out dropped
	if code, stderr := r.warmer(&out, "drop", "--layers", "assets", ref); code != 0 || !out.Dropped {
		t.Errorf("drop: exit code %d, %+v, %s", code, out, stderr)
	}
	r.wantLeft(3, documents+layers, layers)
}

func TestANewVersionMovesWhatIsNew(t *testing.T) {
	r := newRig(t)
	r.reg.Push("game:1", game("1")...)
	r.reg.Push("game:2", game("2")...)
	first := r.pull(r.reg.Reference("game:1"))
	r.reg.Reset()
	second := r.pull(r.reg.Reference("game:2"))
	if second.PulledBytes > first.PulledBytes/500 || second.ReusedBytes < 9<<20 {
		t.Errorf("the new version: %+v, after %+v", second, first)
	}
	r.wantLeft(6, 2*documents+layers+2, layers+2)
	var list []listed
	if code, stderr := r.warmer(&list, "ls"); code != 0 || len(list) != 2 || !list[0].Warm || !list[1].Warm || list[0].SharedBytes < 9<<20 || list[0].Phases["assets"] < 8<<20 {
		t.Errorf("ls: exit code %d, %+v, %s", code, list, stderr)
	}
	var out dropped
	if code, _ := r.warmer(&out, "drop", r.reg.Reference("game:1")); code != 0 || !out.Dropped {
		t.Errorf("drop: exit code %d, %+v", code, out)
	}
	r.wantLeft(3, documents+layers, layers)
	r.wantVerified(r.reg.Reference("game:2"))
	if code, _ := r.warmer(&out, "drop", r.reg.Reference("game:1")); code != 0 || out.Dropped {
		t.Errorf("drop again: exit code %d, %+v", code, out)
	}
	var v verified
	if code, _ := r.warmer(&v, "verify", r.reg.Reference("game:1")); code != 1 || v.Warm || v.Found {
		t.Errorf("verify of what was dropped: exit code %d, %+v, want 1", code, v)
	}
}

func TestATagThatMovesIsFollowed(t *testing.T) {
	r := newRig(t)
	r.reg.Push("game:latest", game("1")...)
	ref := r.reg.Reference("game:latest")
	r.pull(ref)
	digest := r.reg.Push("game:latest", game("2")...)
	if got := r.pull(ref); string(got.Digest) != digest || got.AlreadyWarm {
		t.Errorf("after the tag moved: %+v, want %s", got, digest)
	}
	r.wantVerified(ref)
	r.wantLeft(5, 2*documents+layers+2, layers+2) // the old one by digest and ID
}

func TestWhatOthersPulledStays(t *testing.T) {
	r := newRig(t)
	digest := r.reg.Push("game:1", game("1")...)
	r.reg.Push("copy:1", game("1")...)
	r.pull(r.reg.Reference("game:1"))
	theirs := r.reg.Reference("copy@" + digest)
	client, err := cri.Dial(r.node.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Pull(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	var out dropped
	if code, stderr := r.warmer(&out, "drop", r.reg.Reference("game:1")); code != 0 || !out.Dropped {
		t.Errorf("drop: exit code %d, %+v, %s", code, out, stderr)
	}
	if left := r.node.Left(); !slices.Contains(left.Images, theirs) || len(left.Snapshots) != layers {
		t.Errorf("left: %+v, want what CRI pulled from another repository", left)
	}
	if image, err := client.Image(t.Context(), theirs); err != nil || image == nil {
		t.Errorf("CRI has %v, %v of what it pulled", image, err)
	}
}
