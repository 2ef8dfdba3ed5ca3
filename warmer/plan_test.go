package warmer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// digest makes one of a short name.
func digest(name string) warmer.Digest { return warmer.Digest(fmt.Sprintf("sha256:%064x", name)) }

// image has layers of 100 bytes, named; those that begin with an a are assets.
func image(names ...string) warmer.Known {
	k := warmer.Known{Image: warmer.Image{Target: warmer.Descriptor{Digest: digest("index")}, Manifest: warmer.Descriptor{Digest: digest("manifest")}}, Checked: now}
	var chain strings.Builder
	for _, n := range names {
		chain.WriteString(n)
		phase := warmer.PhaseServer
		if n[0] == 'a' {
			phase = warmer.PhaseAssets
		}
		k.Layers = append(k.Layers, warmer.Layer{
			Descriptor: warmer.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar", Digest: digest(n), Size: 100}, ChainID: digest("chain " + chain.String()), Phase: phase,
		})
	}
	return k
}

const ref, other = "r.test/game:1", "r.test/other:1"

func want(ref string) warmer.Want { return warmer.Want{Ref: ref, Layers: warmer.All} }

// state has room for everything, two fetches and one unpacking.
func state() warmer.State {
	return warmer.State{
		Now: now, Images: map[string]warmer.Known{}, Blobs: map[warmer.Digest]warmer.Blob{}, Snapshots: map[warmer.Digest]bool{}, NotBefore: map[string]time.Time{}, Untransferable: map[string]bool{}, Applied: map[warmer.Digest]bool{},
		Disk: warmer.Disk{Free: 10000, Total: 20000, Floor: 1000}, Limits: warmer.Limits{Fetches: 2, Unpacks: 1, Grace: time.Hour},
	}
}

func fetch(key string, layer int, name string) warmer.Action {
	return warmer.Action{Do: warmer.Fetch, Key: key, Layer: layer, Digest: digest(name), Bytes: 100}
}

func unpack(key string, layer int, chain string) warmer.Action {
	return warmer.Action{Do: warmer.Unpack, Key: key, Layer: layer, Digest: digest("chain " + chain), Bytes: 100}
}

func TestPlan(t *testing.T) {
	one := []warmer.Want{want(ref)}
	two := []warmer.Want{want(ref), want(other)}
	there := func(s *warmer.State, names ...string) {
		for _, n := range names {
			s.Blobs[digest(n)] = warmer.Blob{Complete: true}
		}
	}
	unpacked := func(s *warmer.State, chains ...string) {
		for _, c := range chains {
			s.Snapshots[digest("chain "+c)] = true
		}
	}
	for _, c := range []struct {
		name  string
		wants []warmer.Want
		given func(*warmer.State)
		want  []warmer.Action
	}{
		{"nothing is wanted, nothing is done", nil, func(*warmer.State) {}, nil},
		{"what is not known is looked up", one, func(*warmer.State) {}, []warmer.Action{{Do: warmer.Resolve, Key: ref}}},
		{"once at a time", one, func(s *warmer.State) { s.Running = []warmer.Action{{Do: warmer.Resolve, Key: ref}} }, nil},
		{"layers are fetched from the bottom, as many at a time as allowed", one, func(s *warmer.State) { s.Images[ref] = image("a", "b", "c") }, []warmer.Action{fetch(ref, 0, "a"), fetch(ref, 1, "b")}},
		{"what runs counts, and is not begun again", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b", "c")
			s.Running = []warmer.Action{fetch(ref, 0, "a")}
		}, []warmer.Action{fetch(ref, 1, "b")}},
		{"a layer is unpacked while others are fetched", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b", "c")
			there(s, "a")
		}, []warmer.Action{unpack(ref, 0, "a"), fetch(ref, 1, "b"), fetch(ref, 2, "c")}},
		{"a layer is not unpacked before the one below it", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b")
			there(s, "b")
			s.Running = []warmer.Action{fetch(ref, 0, "a")}
		}, nil},
		{"unless the node can do that", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b", "c", "d")
			there(s, "b", "d")
			s.Limits.Ahead, s.Limits.Unpacks = true, 4
		}, []warmer.Action{fetch(ref, 0, "a"), unpack(ref, 1, "ab"), fetch(ref, 2, "c"), unpack(ref, 3, "abcd")}},
		{"then those that take longest are first, fetched and unpacked", one, func(s *warmer.State) {
			k := image("a", "b", "c", "d", "e")
			k.Layers[1].MediaType += "+zstd" // and so three times as big
			k.Layers[4].Size = 200
			s.Images[ref] = k
			there(s, "a", "c", "e")
			s.Limits.Ahead = true
		}, []warmer.Action{fetch(ref, 1, "b"), {Do: warmer.Unpack, Key: ref, Layer: 4, Digest: digest("chain abcde"), Bytes: 200}, fetch(ref, 3, "d")}},
		{"one that only waits for those below it has no place", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b", "c")
			there(s, "a", "b", "c")
			s.Limits.Ahead = true
			s.Running = []warmer.Action{unpack(ref, 2, "abc")}
			s.Applied[digest("chain abc")] = true
		}, []warmer.Action{unpack(ref, 0, "a")}},
		{"and is promised no room", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b")
			there(s, "a", "b")
			s.Limits.Ahead, s.Disk.Free = true, 1100
			s.Running = []warmer.Action{unpack(ref, 1, "ab")}
			s.Applied[digest("chain ab")] = true
		}, []warmer.Action{unpack(ref, 0, "a")}},
		{"an image of which something only waits is not begun", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b")
			there(s, "a", "b")
			s.Limits.Ahead, s.Disk.Free = true, 1099
			s.Running = []warmer.Action{unpack(ref, 1, "ab")}
			s.Applied[digest("chain ab")] = true
		}, []warmer.Action{{Do: warmer.Wait, Key: ref, Why: warmer.DiskFull}}},
		{"a blob is fetched for an image that has its snapshot", one, func(s *warmer.State) {
			s.Images[ref] = image("a")
			unpacked(s, "a")
		}, []warmer.Action{fetch(ref, 0, "a")}},
		{"a blob that an image has twice is fetched once", one, func(s *warmer.State) { s.Images[ref] = image("a", "a") }, []warmer.Action{fetch(ref, 0, "a")}},
		{"a blob that two images have is fetched once", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a"), image("a")
		}, []warmer.Action{fetch(ref, 0, "a")}},
		{"the runtime brings by itself what is missing, once at a time, where it may", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a", "b", "c", "c"), image("x")
			there(s, "a")
			s.Blobs[digest("b")] = warmer.Blob{Offset: 30}
			s.Limits.Transfer = true
		}, []warmer.Action{{Do: warmer.Transfer, Key: ref, Bytes: 170}, unpack(ref, 0, "a")}},
		{"no fetch is beside that", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a", "b"), image("x")
			s.Running = []warmer.Action{{Do: warmer.Transfer, Key: ref, Bytes: 200}}
			s.Limits.Transfer = true
		}, nil},
		{"and it is not beside a fetch", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b", "c")
			s.Running = []warmer.Action{fetch(ref, 0, "a")}
			s.Limits.Transfer = true
		}, []warmer.Action{fetch(ref, 1, "b")}},
		{"what it could not bring by itself is fetched", one, func(s *warmer.State) {
			s.Images[ref] = image("a")
			s.Limits.Transfer, s.Untransferable[ref] = true, true
		}, []warmer.Action{fetch(ref, 0, "a")}},
		{"it does not bring a part of an image", []warmer.Want{{Ref: ref, Layers: warmer.Assets}}, func(s *warmer.State) {
			s.Images[ref+" (assets)"] = image("a1", "b")
			s.Limits.Transfer = true
		}, []warmer.Action{fetch(ref+" (assets)", 0, "a1")}},
		{"nor what does not fit", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b")
			s.Limits.Transfer, s.Disk.Free = true, 1399
		}, []warmer.Action{{Do: warmer.Wait, Key: ref, Why: warmer.DiskFull}}},
		{"a transfer is promised what it will still take", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a", "b"), image("x")
			s.Running = []warmer.Action{{Do: warmer.Transfer, Key: ref, Bytes: 150}}
			s.Limits.Transfer, s.Disk.Free = true, 1549
		}, []warmer.Action{{Do: warmer.Wait, Key: other, Why: warmer.DiskFull}}},
		{"a transfer gives way to a more important image", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a"), image("x")
			s.Running = []warmer.Action{{Do: warmer.Transfer, Key: other, Bytes: 100}}
			s.Limits.Transfer = true
		}, []warmer.Action{{Do: warmer.Interrupt, Key: other}}},
		{"unless it brings what that one misses", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a", "b"), image("a", "b", "x")
			there(s, "b")
			s.Running = []warmer.Action{{Do: warmer.Transfer, Key: other, Bytes: 200}}
			s.Limits.Transfer = true
		}, nil},
		{"and ends where it may not go on", one, func(s *warmer.State) {
			s.Images[ref] = image("a")
			s.Running = []warmer.Action{{Do: warmer.Transfer, Key: ref, Bytes: 100}}
		}, []warmer.Action{{Do: warmer.Interrupt, Key: ref}}},
		{"an image that is complete is kept", one, func(s *warmer.State) {
			s.Images[ref] = image("a")
			there(s, "a")
			unpacked(s, "a")
		}, []warmer.Action{{Do: warmer.Keep, Key: ref}}},
		{"an image that is kept is left alone", one, func(s *warmer.State) {
			k := image("a")
			k.Kept = true
			s.Images[ref] = k
			there(s, "a")
			unpacked(s, "a")
		}, nil},
		{"a kept image is repaired", one, func(s *warmer.State) {
			k := image("a", "b")
			k.Kept = true
			s.Images[ref] = k
			there(s, "a")
			unpacked(s, "a")
		}, []warmer.Action{fetch(ref, 1, "b")}},
		{"only the assets, where only they are wanted", []warmer.Want{{Ref: ref, Layers: warmer.Assets}}, func(s *warmer.State) {
			s.Images[ref+" (assets)"] = image("a1", "a2", "b", "a3")
			there(s, "a1")
			unpacked(s, "a1")
		}, []warmer.Action{fetch(ref+" (assets)", 1, "a2")}},
		{"the more important image has the places", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a", "b", "c"), image("x")
		}, []warmer.Action{fetch(ref, 0, "a"), fetch(ref, 1, "b")}},
		{"the less important one has what is left", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a"), image("x")
		}, []warmer.Action{fetch(ref, 0, "a"), fetch(other, 0, "x")}},
		{"an image that failed is left alone for a while, others are not", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a"), image("x")
			s.NotBefore[ref] = now.Add(time.Minute)
		}, []warmer.Action{{Do: warmer.Wait, Key: ref, Until: now.Add(time.Minute), Why: warmer.BackOff}, fetch(other, 0, "x")}},
		{"a tag is looked up again, a digest is not", []warmer.Want{want(ref), want("r.test/game@" + string(digest("index")))}, func(s *warmer.State) {
			s.Limits.Refresh = time.Minute
			k := image()
			k.Checked, k.Kept = now.Add(-time.Minute), true
			s.Images[ref], s.Images["r.test/game@"+string(digest("index"))] = k, k
		}, []warmer.Action{{Do: warmer.Resolve, Key: ref}}},
		{"until then it is waited for", one, func(s *warmer.State) {
			s.Limits.Refresh = time.Minute
			k := image()
			k.Kept = true
			s.Images[ref] = k
		}, []warmer.Action{{Do: warmer.Wait, Key: ref, Until: now.Add(time.Minute), Why: warmer.Refreshing}}},
		{"what does not fit is not begun, and lets others pass", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a", "b", "c"), image("x")
			s.Disk.Free = 1500
		}, []warmer.Action{{Do: warmer.Wait, Key: ref, Why: warmer.DiskFull}, fetch(other, 0, "x")}},
		{"what is begun goes on", one, func(s *warmer.State) {
			s.Images[ref] = image("a", "b", "c")
			s.Disk.Free = 1600
			s.Running = []warmer.Action{fetch(ref, 0, "a")}
		}, []warmer.Action{fetch(ref, 1, "b")}},
		{"but pauses where the room is promised", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a", "b", "c"), image("x")
			s.Disk.Free = 1590
			s.Running = []warmer.Action{fetch(ref, 0, "a")}
		}, []warmer.Action{{Do: warmer.Wait, Key: other, Why: warmer.DiskFull}}},
		{"two that fit one by one do not fit together", two, func(s *warmer.State) {
			s.Images[ref], s.Images[other] = image("a"), image("x")
			s.Disk.Free = 1300
		}, []warmer.Action{fetch(ref, 0, "a"), {Do: warmer.Wait, Key: other, Why: warmer.DiskFull}}},
		{"a snapshot that outgrew what was expected needs that much", one, func(s *warmer.State) {
			s.Images[ref] = image("a")
			s.Grown = map[warmer.Digest]int64{digest("chain a"): 20000}
		}, []warmer.Action{{Do: warmer.Wait, Key: ref, Why: warmer.DiskFull}}},
		{"what nobody wants is unpinned first", nil, func(s *warmer.State) { s.Held = []warmer.Held{{Key: ref, Pinned: true}} }, []warmer.Action{{Do: warmer.Unpin, Key: ref}}},
		{"stays for a while", nil, func(s *warmer.State) { s.Held = []warmer.Held{{Key: ref, Since: now.Add(-time.Minute)}} }, []warmer.Action{{Do: warmer.Wait, Key: ref, Until: now.Add(59 * time.Minute), Why: warmer.InGrace}}},
		{"and goes", nil, func(s *warmer.State) { s.Held = []warmer.Held{{Key: ref, Since: now.Add(-time.Hour)}} }, []warmer.Action{{Do: warmer.Evict, Key: ref}}},
		{"unless its want had it stay longer", nil, func(s *warmer.State) {
			s.Held = []warmer.Held{{Key: ref, Since: now.Add(-time.Hour), Retention: 3 * time.Hour}}
		}, []warmer.Action{{Do: warmer.Wait, Key: ref, Until: now.Add(2 * time.Hour), Why: warmer.InGrace}}},
		{"or shorter", nil, func(s *warmer.State) {
			s.Held = []warmer.Held{{Key: ref, Since: now.Add(-time.Minute), Retention: time.Minute}}
		}, []warmer.Action{{Do: warmer.Evict, Key: ref}}},
		{"unless a container uses it", nil, func(s *warmer.State) { s.Held = []warmer.Held{{Key: ref, Since: now.Add(-time.Hour), InUse: true}} }, nil},
		{"what a pull left that nobody wants goes at once", nil, func(s *warmer.State) { s.Held = []warmer.Held{{Key: ref, Unfinished: true}} }, []warmer.Action{{Do: warmer.Evict, Key: ref}}},
		{"the oldest unwanted image makes room for a wanted one", one, func(s *warmer.State) {
			s.Images[ref] = image("a")
			s.Disk.Free = 1000
			s.Held = []warmer.Held{{Key: ref}, {Key: "young", Since: now.Add(-time.Minute)}, {Key: "used", Since: now.Add(-time.Hour / 2), InUse: true}, {Key: "old", Since: now.Add(-2 * time.Minute)}}
		}, []warmer.Action{
			{Do: warmer.Wait, Key: ref, Why: warmer.DiskFull},
			{Do: warmer.Evict, Key: "old"},
			{Do: warmer.Wait, Key: "young", Until: now.Add(59 * time.Minute), Why: warmer.InGrace},
		}},
		{"one at a time", one, func(s *warmer.State) {
			s.Images[ref] = image("a")
			s.Disk.Free = 1000
			s.Held = []warmer.Held{{Key: "young", Since: now.Add(-time.Minute)}, {Key: "old", Since: now.Add(-2 * time.Minute)}}
			s.Running = []warmer.Action{{Do: warmer.Evict, Key: "old"}}
		}, []warmer.Action{
			{Do: warmer.Wait, Key: ref, Why: warmer.DiskFull},
			{Do: warmer.Wait, Key: "young", Until: now.Add(59 * time.Minute), Why: warmer.InGrace},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := state()
			c.given(&s)
			got := warmer.Plan(c.wants, s)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Plan (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNormalizeMakesOneOfTheSame(t *testing.T) {
	got := warmer.Normalize([]warmer.Want{
		{Ref: "r.test/b:1", Priority: 1},
		{Ref: "game", Retention: 2},
		{Ref: "docker.io/library/game:latest", Priority: 5, Pin: true, Retention: 1},
		{Ref: "game", Layers: warmer.Assets, Priority: 5},
		{Ref: "NOT A REFERENCE"},
	})
	want := []warmer.Want{
		{Ref: "docker.io/library/game:latest", Layers: warmer.All, Priority: 5, Pin: true, Retention: 2},
		{Ref: "docker.io/library/game:latest", Layers: warmer.Assets, Priority: 5},
		{Ref: "r.test/b:1", Layers: warmer.All, Priority: 1},
		{Ref: "NOT A REFERENCE", Layers: warmer.All},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Normalize (-want +got):\n%s", diff)
	}
}
