package warmer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// FuzzPlan plays any sequence of events on a node that does what is planned, and holds what the documentation of Plan
// promises. Afterwards nothing happens any more, and the node has to become warm.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add([]byte{200, 0, 0, 1, 1, 2, 2, 9, 9, 9, 9, 3, 3, 8, 8, 8, 250, 0, 17, 33})
	f.Add([]byte{7, 7, 7, 7, 7, 1, 1, 1, 3, 129, 130, 131, 4, 4, 4, 4, 4, 4, 5, 5, 5})
	f.Fuzz(func(t *testing.T, script []byte) {
		n := newNode(t, script)
		for _, b := range script {
			n.plan()
			n.event(b)
		}
		n.settle()
	})
}

// simNode is a node in which every action takes as long as the script says.
type simNode struct {
	t     *testing.T
	s     warmer.State
	wants []warmer.Want
	all   map[string]warmer.Known // what registries have
	size  int64                   // of the disk
}

func newNode(t *testing.T, script []byte) *simNode {
	t.Helper()
	n := &simNode{t: t, s: state(), all: map[string]warmer.Known{}, size: 4000}
	if len(script) > 0 {
		n.size = 1200 + 20*int64(script[0])
		n.s.Limits.Fetches, n.s.Limits.Unpacks, n.s.Limits.Ahead = 1+int(script[0]%3), 1+int(script[0]%2), script[0]%5 < 3
		n.s.Limits.Transfer = script[0]%7 < 4
	}
	n.s.Disk = warmer.Disk{Total: n.size, Floor: 1000}
	for i, layers := range [][]string{{"a1", "a2", "b", "s1"}, {"a1", "a2", "b", "s2"}, {"a1", "b", "s3"}, {"x", "y"}, {"z"}} {
		n.all[simRef(i)] = image(layers...)
	}
	return n
}

func simRef(i int) string { return fmt.Sprintf("r.test/game:%d", i) }

// used is how many bytes lie on the disk. Of what is being fetched a part is there.
func (n *simNode) used() int64 {
	var used int64
	for d, b := range n.s.Blobs {
		if used += b.Offset; b.Complete && b.Offset != 100 {
			n.t.Errorf("blob %s is complete with %d bytes", d, b.Offset)
		}
	}
	for _, there := range n.s.Snapshots {
		if there {
			used += 100
		}
	}
	used += 100 * int64(len(n.s.Applied))
	return used
}

func (n *simNode) plan() {
	n.t.Helper()
	n.s.Disk.Free = n.size - n.used()
	actions := warmer.Plan(n.wants, n.s)
	n.check(actions)
	for _, a := range actions {
		switch a.Do {
		case warmer.Wait:
		case warmer.Interrupt:
			n.s.Running = slices.DeleteFunc(n.s.Running, func(r warmer.Action) bool { return r.Do == warmer.Transfer && r.Key == a.Key })
		default:
			n.s.Running = append(n.s.Running, a)
		}
	}
}

// check holds what is planned against the promises.
func (n *simNode) check(actions []warmer.Action) {
	n.t.Helper()
	running := map[warmer.Verb]int{}
	for _, a := range n.s.Running {
		if !n.s.Applied[a.Digest] {
			running[a.Do]++
		}
	}
	last := 0
	for i, a := range actions {
		running[a.Do]++
		if a.Do != warmer.Wait && (slices.ContainsFunc(n.s.Running, a.Same) || slices.ContainsFunc(actions[:i], a.Same)) {
			n.t.Errorf("planned twice: %v", a)
		}
		rank := slices.IndexFunc(n.wants, func(w warmer.Want) bool { return w.Key() == a.Key })
		switch a.Do {
		case warmer.Fetch:
			if rank < last {
				n.t.Errorf("%v is planned after a less important image", a)
			}
			last = rank
		case warmer.Evict, warmer.Unpin:
			n.checkEvict(a, rank)
		case warmer.Unpack:
			if !n.s.Blobs[n.s.Images[a.Key].Layers[a.Layer].Digest].Complete {
				n.t.Errorf("%v without its blob", a)
			}
			if a.Layer > 0 {
				n.checkBelow(a, n.s.Images[a.Key].Layers[a.Layer-1].ChainID)
			}
		case warmer.Keep:
			n.checkComplete(a.Key)
		case warmer.Transfer:
			if !n.s.Limits.Transfer || n.s.Untransferable[a.Key] {
				n.t.Errorf("%v, which may not be", a)
			}
		case warmer.Interrupt:
			n.checkInterrupt(a, rank)
		case warmer.Resolve, warmer.Wait:
		}
	}
	if t := running[warmer.Transfer]; t > 1 || t == 1 && running[warmer.Fetch] > 0 {
		n.t.Errorf("%d transfers beside %d fetches", t, running[warmer.Fetch])
	}
	if running[warmer.Fetch] > n.s.Limits.Fetches || running[warmer.Unpack] > n.s.Limits.Unpacks {
		n.t.Errorf("%d fetches and %d unpackings, allowed are %+v", running[warmer.Fetch], running[warmer.Unpack], n.s.Limits)
	}
}

// checkInterrupt wants a reason: that no transfer may be, or that a more important image misses something else.
func (n *simNode) checkInterrupt(a warmer.Action, rank int) {
	n.t.Helper()
	if !n.s.Limits.Transfer {
		return
	}
	if rank < 0 {
		rank = len(n.wants)
	}
	for _, w := range n.wants[:rank] {
		for _, l := range n.s.Images[w.Key()].Layers {
			if !n.s.Blobs[l.Digest].Complete && !slices.ContainsFunc(n.s.Images[a.Key].Layers, func(x warmer.Layer) bool { return x.Digest == l.Digest }) {
				return
			}
		}
	}
	n.t.Errorf("%v for nobody", a)
}

func (n *simNode) checkEvict(a warmer.Action, rank int) {
	n.t.Helper()
	i := slices.IndexFunc(n.s.Held, func(h warmer.Held) bool { return h.Key == a.Key })
	if rank >= 0 || i < 0 || a.Do == warmer.Evict && n.s.Held[i].InUse {
		n.t.Errorf("%v although it is wanted, not there, or in use", a)
	}
}

func (n *simNode) checkBelow(a warmer.Action, below warmer.Digest) {
	n.t.Helper()
	if !n.s.Snapshots[below] && !n.s.Limits.Ahead {
		n.t.Errorf("%v without what is below it", a)
	}
}

func (n *simNode) checkComplete(key string) {
	n.t.Helper()
	for _, l := range n.s.Images[key].Layers {
		if !n.s.Blobs[l.Digest].Complete || !n.s.Snapshots[l.ChainID] {
			n.t.Errorf("%s is kept without layer %s", key, l.Digest)
		}
	}
}

// event makes something happen.
func (n *simNode) event(b byte) {
	n.t.Helper()
	i := simRef(int(b>>4) % len(n.all))
	switch b % 11 {
	case 0, 1, 2:
		n.finish(int(b>>3), true)
	case 3:
		n.finish(int(b>>3), false)
	case 4:
		n.wants = warmer.Normalize(append(n.wants, warmer.Want{Ref: i, Priority: int(b >> 5)}))
	case 5:
		n.wants = slices.DeleteFunc(slices.Clone(n.wants), func(w warmer.Want) bool { return w.Ref == i })
		n.s.Running = slices.DeleteFunc(slices.Clone(n.s.Running), func(a warmer.Action) bool {
			if gone := a.Key == i && n.s.Applied[a.Digest]; gone { // nobody unpacks what it waits for
				delete(n.s.Applied, a.Digest)
				return true
			}
			return false
		})
	case 6:
		n.s.Now = n.s.Now.Add(time.Duration(b) * time.Minute)
	case 7:
		for j := range n.s.Held {
			if n.s.Held[j].Key == i {
				n.s.Held[j].InUse = !n.s.Held[j].InUse
			}
		}
	case 8: // somebody removes an image
		n.forget(i)
	case 9: // players come or go
		n.s.Limits.Transfer = !n.s.Limits.Transfer
	case 10: // a part of a transfer comes
		n.bring(int(b >> 3))
	}
	n.collect()
	if free := n.size - n.used(); free < n.s.Disk.Floor {
		n.t.Errorf("%d bytes are free, the floor is %d", free, n.s.Disk.Floor)
	}
}

// finish ends one of the running actions.
func (n *simNode) finish(which int, well bool) {
	if len(n.s.Running) == 0 {
		return
	}
	at := which % len(n.s.Running)
	a := n.s.Running[at]
	n.s.Running = slices.Delete(slices.Clone(n.s.Running), at, at+1)
	if well && a.Do == warmer.Unpack && a.Layer > 0 && !n.s.Snapshots[n.all[a.Key].Layers[a.Layer-1].ChainID] {
		if !slices.ContainsFunc(n.wants, func(w warmer.Want) bool { return w.Key() == a.Key }) {
			delete(n.s.Applied, a.Digest)
			return
		}
		n.s.Applied[a.Digest] = true
		n.s.Running = append(n.s.Running, a)
		return
	}
	delete(n.s.Applied, a.Digest)
	if a.Do == warmer.Transfer {
		n.s.Untransferable[a.Key] = !well
		for _, l := range n.all[a.Key].Layers {
			if well {
				n.s.Blobs[l.Digest] = warmer.Blob{Complete: true, Offset: 100}
			}
		}
		return
	}
	if !well {
		n.s.NotBefore[a.Key] = n.s.Now.Add(time.Minute)
		if b := n.s.Blobs[a.Digest]; a.Do == warmer.Fetch && !b.Complete {
			n.s.Blobs[a.Digest] = warmer.Blob{Offset: min(99, b.Offset+30)} // cut off
		}
		return
	}
	switch a.Do {
	case warmer.Resolve:
		k := n.all[a.Key]
		k.Checked = n.s.Now
		n.s.Images[a.Key] = k
	case warmer.Fetch:
		n.s.Blobs[a.Digest] = warmer.Blob{Complete: true, Offset: 100}
	case warmer.Unpack:
		n.s.Snapshots[a.Digest] = true
	case warmer.Keep:
		n.keep(a.Key)
	case warmer.Unpin:
		for i := range n.s.Held {
			if n.s.Held[i].Key == a.Key {
				n.s.Held[i].Since, n.s.Held[i].Pinned = n.s.Now, false
			}
		}
	case warmer.Evict:
		n.forget(a.Key)
	case warmer.Transfer, warmer.Interrupt, warmer.Wait:
	}
}

// bring has a running transfer get on with one of its blobs.
func (n *simNode) bring(which int) {
	i := slices.IndexFunc(n.s.Running, func(a warmer.Action) bool { return a.Do == warmer.Transfer })
	if i < 0 {
		return
	}
	a := &n.s.Running[i]
	layers := n.all[a.Key].Layers
	d := layers[which%len(layers)].Digest
	if b := n.s.Blobs[d]; !b.Complete {
		more := min(60, 100-b.Offset)
		n.s.Blobs[d] = warmer.Blob{Offset: b.Offset + more, Complete: b.Offset+more == 100}
		a.Bytes -= more
	}
}

func (n *simNode) keep(key string) {
	k, ok := n.s.Images[key]
	if !ok {
		return
	}
	k.Kept = true
	n.s.Images[key] = k
	n.s.Held = slices.DeleteFunc(slices.Clone(n.s.Held), func(h warmer.Held) bool { return h.Key == key })
	n.s.Held = append(n.s.Held, warmer.Held{Key: key, Pinned: true})
}

func (n *simNode) forget(key string) {
	n.s.Held = slices.DeleteFunc(slices.Clone(n.s.Held), func(h warmer.Held) bool { return h.Key == key })
	delete(n.s.Images, key)
}

// collect removes what neither an image that is held nor a wanted one has.
func (n *simNode) collect() {
	blobs, chains := map[warmer.Digest]bool{}, map[warmer.Digest]bool{}
	hold := func(key string) {
		for _, l := range n.all[key].Layers {
			blobs[l.Digest], chains[l.ChainID] = true, true
		}
	}
	for _, h := range n.s.Held {
		hold(h.Key)
	}
	for _, w := range n.wants {
		hold(w.Key())
	}
	for _, a := range n.s.Running {
		hold(a.Key)
	}
	for d := range n.s.Blobs {
		if !blobs[d] {
			delete(n.s.Blobs, d)
		}
	}
	for c := range n.s.Snapshots {
		if !chains[c] {
			delete(n.s.Snapshots, c)
		}
	}
}

// settle lets everything that is planned end well, until nothing is, and looks at the result.
func (n *simNode) settle() {
	n.t.Helper()
	for i := range n.s.Held {
		n.s.Held[i].InUse = false
	}
	for range 500 {
		n.plan()
		if len(n.s.Running) == len(n.s.Applied) { // all of them only wait
			n.s.Now = n.s.Now.Add(30 * time.Minute)
		}
		n.event(0)
	}
	n.plan()
	if len(n.s.Running) > len(n.s.Applied) {
		n.t.Fatalf("it does not come to rest: %v", n.s.Running)
	}
	for _, h := range n.s.Held {
		if !slices.ContainsFunc(n.wants, func(w warmer.Want) bool { return w.Key() == h.Key }) {
			n.t.Errorf("%s is still held", h.Key)
		}
	}
	fits := true
	for _, a := range warmer.Plan(n.wants, n.s) {
		fits = fits && a.Why != warmer.DiskFull
	}
	if fits && len(n.s.Applied) > 0 {
		n.t.Errorf("layers wait for others that nobody unpacks: %v", n.s.Running)
	}
	for _, w := range n.wants {
		if fits && !n.s.Images[w.Key()].Kept {
			n.t.Errorf("%s is not warm, with %d bytes free", w.Key(), n.size-n.used())
		}
	}
}

func TestPlanKeepsItsPromisesOnRandomNodes(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		script := make([]byte, 60)
		for i := range script {
			script[i] = byte(r.UintN(256))
		}
		n := newNode(t, script)
		for _, b := range script {
			n.plan()
			n.event(b)
		}
		n.settle()
		if t.Failed() {
			t.Fatalf("with seed %d: %v", seed, script)
		}
	}
}
