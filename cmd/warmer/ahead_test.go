package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The bottom layer does not come. What is above it is unpacked meanwhile where this containerd allows that, and not again by
// the next agent.
func TestWhatIsUnpackedAheadIsNotUnpackedAgain(t *testing.T) {
	r := newRig(t)
	digest := r.reg.Push("game:1", game("1")...)
	ref := r.reg.Reference("game@" + digest)
	bottom := r.reg.Layers("game:1")[0]
	let := make(chan struct{})
	r.reg.Fail(func(_ http.ResponseWriter, req *http.Request) bool {
		if blob(req) && strings.HasSuffix(req.URL.Path, bottom) {
			select {
			case <-let:
			case <-req.Context().Done():
			}
		}
		return false
	})
	a := r.agent("--image", ref)
	r.until("all other layers are there", func() bool { return len(r.node.Left().Blobs) == documents+layers-1 }, a.out)
	ahead := 0
	if r.node.Rebases() {
		ahead = layers - 1
	}
	r.until("they are unpacked", func() bool { return r.applied() == ahead }, a.out)
	a.kill()
	if n := r.applied(); n != ahead {
		t.Errorf("%d layers are unpacked when the agent is gone, want %d", n, ahead)
	}
	close(let)
	a = r.agent("--image", ref)
	a.untilWarm()
	if n := r.prepared(); n != layers {
		t.Errorf("%d snapshots were begun for %d layers", n, layers)
	}
	r.wantLeft(2, documents+layers, layers)
	r.wantVerified(ref)
}

// applied is how many snapshots are said to be complete but for their parent.
func (r *rig) applied() int {
	r.Helper()
	n := 0
	for _, key := range r.node.Left().Unfinished {
		if strings.Contains(r.node.Ctr("snapshots", "info", key), "dev.pitcrew.warmer.applied") {
			n++
		}
	}
	return n
}

// prepared is how many snapshots there ever were: overlayfs numbers them.
func (r *rig) prepared() int {
	r.Helper()
	entries, err := os.ReadDir(filepath.Join(r.node.Seen(), "io.containerd.snapshotter.v1.overlayfs/snapshots"))
	if err != nil {
		r.Fatal(err)
	}
	var numbers []int
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			r.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return slices.Max(numbers)
}
