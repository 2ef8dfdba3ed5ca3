package warmer

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Plan says what to start now, most important first, and what is waited for. It is a function of its arguments alone.
//
// Wants are normalized ([Normalize]). What is running is not planned again, and counts against the limits, but for what is
// applied. A fetch or an unpacking is never planned for an image while a more important one could have its place, and a
// transfer has to give way to one. Of an image the layers come from the bottom; where they can be unpacked in any order
// ([Limits.Ahead]), those that take longest come first, so that in the end nothing waits for one of them. An image of which
// more is missing than fits above the disk's floor is not begun; unwanted images make room for it without their grace, in the
// order in which they became unwanted. Nothing that is wanted or in use is evicted.
func Plan(wants []Want, s State) []Action {
	p := planner{State: s, room: s.Disk.Free - s.Disk.Floor, coming: map[Digest]bool{}}
	for _, a := range s.Running {
		p.reserve(a)
	}
	if p.transferring != "" && !p.Limits.Transfer {
		p.interrupt()
	}
	for _, w := range wants {
		p.want(w)
		if w.Key() == p.transferring {
			p.transferring = "" // what comes now is less important
		}
	}
	p.unwanted(wants)
	return p.out
}

type planner struct {
	State
	out []Action
	// room is how many bytes may still be promised.
	room             int64
	fetches, unpacks int
	short            bool // a wanted image does not fit
	// transferring is the image that a running transfer is for, and coming are the blobs that it brings.
	transferring string
	coming       map[Digest]bool
}

// reserve counts an action that runs, and promises it what it will still write.
func (p *planner) reserve(a Action) {
	switch a.Do {
	case Transfer:
		p.fetches, p.transferring = p.Limits.Fetches, a.Key
		p.room -= a.Bytes
		for _, l := range p.Images[a.Key].Layers {
			p.coming[l.Digest] = true
		}
	case Fetch:
		p.fetches++
		p.room -= max(0, a.Bytes-p.Blobs[a.Digest].Offset)
	case Unpack:
		if p.Applied[a.Digest] {
			break // it has what it needs
		}
		p.unpacks++
		p.room -= a.Bytes
	case Resolve, Interrupt, Keep, Unpin, Evict, Wait:
	}
}

func (p *planner) add(a Action) { p.out = append(p.out, a) }

// runs says that the same action is running or was planned.
func (p *planner) runs(a Action) bool {
	return slices.ContainsFunc(p.Running, a.Same) || slices.ContainsFunc(p.out, a.Same)
}

func (p *planner) want(w Want) {
	key := w.Key()
	if until := p.NotBefore[key]; until.After(p.Now) {
		p.add(Action{Do: Wait, Key: key, Until: until, Why: BackOff})
		return
	}
	known, ok := p.Images[key]
	if due := p.due(w, known); !ok || !due.IsZero() && !due.After(p.Now) {
		if a := (Action{Do: Resolve, Key: key}); !p.runs(a) {
			p.add(a)
		}
		if !ok {
			return
		}
	} else if !due.IsZero() {
		p.add(Action{Do: Wait, Key: key, Until: due, Why: Refreshing})
	}
	layers := w.Layers.Select(known.Layers)
	need := p.missing(layers)
	switch fits, begun := need <= p.room, p.begun(key); {
	case begun:
		if p.room -= need; !fits {
			return // for now: what is being unpacked lies on the disk and is promised, too
		}
	case !fits:
		p.short = true
		p.add(Action{Do: Wait, Key: key, Why: DiskFull})
		return
	default:
		p.room -= need
	}
	if p.transferring != "" && p.transferring != key && slices.ContainsFunc(layers, func(l Layer) bool {
		return !p.Blobs[l.Digest].Complete && !p.coming[l.Digest]
	}) {
		p.interrupt()
	}
	p.transfer(w, layers)
	if p.layers(key, layers) && !known.Kept {
		if a := (Action{Do: Keep, Key: key}); !p.runs(a) {
			p.add(a)
		}
	}
}

// due is when a want's reference has to be looked up again; zero: never.
func (p *planner) due(w Want, known Known) time.Time {
	switch {
	case strings.Contains(w.Ref, "@"):
		return time.Time{}
	case known.Checked.IsZero():
		return p.Now
	case p.Limits.Refresh <= 0:
		return time.Time{}
	}
	return known.Checked.Add(p.Limits.Refresh)
}

// begun says that something is going on for an image, which will end by itself.
func (p *planner) begun(key string) bool {
	return slices.ContainsFunc(p.Running, func(a Action) bool {
		return a.Key == key && (a.Do == Transfer || a.Do == Fetch || a.Do == Unpack && !p.Applied[a.Digest])
	})
}

// interrupt plans that the running transfer ends: its places are wanted, or it may not go on.
func (p *planner) interrupt() {
	p.add(Action{Do: Interrupt, Key: p.transferring})
	p.transferring = ""
}

// transfer plans that the runtime brings all that is missing of a whole image, which then has all places.
func (p *planner) transfer(w Want, layers []Layer) {
	a := Action{Do: Transfer, Key: w.Key()}
	if !p.Limits.Transfer || p.fetches > 0 || w.Layers == Assets || p.Untransferable[a.Key] {
		return
	}
	missing := map[Digest]int64{}
	for i := range layers {
		if b := p.Blobs[layers[i].Digest]; !b.Complete {
			missing[layers[i].Digest] = max(0, layers[i].Size-b.Offset)
		}
	}
	if len(missing) == 0 {
		return
	}
	for _, n := range missing {
		a.Bytes += n
	}
	p.fetches = p.Limits.Fetches
	p.add(a)
}

// Expansion is by how much a compressed layer is expected to grow.
const Expansion = 3

// missing is how many bytes a set of layers will still take, beside those that are promised.
func (p *planner) missing(layers []Layer) int64 {
	var n int64
	counted := map[Digest]bool{}
	for i := range layers {
		l := &layers[i]
		if b := p.Blobs[l.Digest]; !b.Complete && !counted[l.Digest] && !p.coming[l.Digest] && !p.runs(Action{Do: Fetch, Digest: l.Digest}) {
			counted[l.Digest] = true
			n += max(0, l.Size-b.Offset)
		}
		if !p.Snapshots[l.ChainID] && !p.runs(Action{Do: Unpack, Digest: l.ChainID}) {
			n += p.unpacked(l)
		}
	}
	return n
}

func (p *planner) unpacked(l *Layer) int64 {
	expected := l.Size
	if !strings.HasSuffix(l.MediaType, "tar") {
		expected *= Expansion
	}
	return max(expected, p.Grown[l.ChainID])
}

// layers plans the missing ones and says whether there are none.
func (p *planner) layers(key string, layers []Layer) bool {
	complete := true
	for _, i := range p.order(layers) {
		l := &layers[i]
		there := p.Blobs[l.Digest].Complete
		if !there {
			complete = false
			a := Action{Do: Fetch, Key: key, Layer: i, Digest: l.Digest, Bytes: l.Size}
			if p.fetches < p.Limits.Fetches && !p.runs(a) {
				p.fetches++
				p.add(a)
			}
		}
		if p.Snapshots[l.ChainID] {
			continue
		}
		complete = false
		a := Action{Do: Unpack, Key: key, Layer: i, Digest: l.ChainID, Bytes: p.unpacked(l)}
		below := p.Limits.Ahead || i == 0 || p.Snapshots[layers[i-1].ChainID]
		if there && below && p.unpacks < p.Limits.Unpacks && !p.runs(a) {
			p.unpacks++
			p.add(a)
		}
	}
	return complete
}

// order is the one in which layers are planned, by their places.
func (p *planner) order(layers []Layer) []int {
	out := make([]int, len(layers))
	for i := range out {
		out[i] = i
	}
	if p.Limits.Ahead {
		slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(p.unpacked(&layers[b]), p.unpacked(&layers[a])) })
	}
	return out
}

func (p *planner) unwanted(wants []Want) {
	wanted := map[string]bool{}
	for _, w := range wants {
		wanted[w.Key()] = true
	}
	held := slices.Clone(p.Held)
	slices.SortStableFunc(held, func(a, b Held) int { return a.Since.Compare(b.Since) })
	for _, h := range held {
		if !wanted[h.Key] {
			p.release(h)
		}
	}
}

// release plans for one image that nobody wants. What is short of room takes one after the other, as the next plan sees how
// much that was.
func (p *planner) release(h Held) {
	evict, end := Action{Do: Evict, Key: h.Key}, h.Since.Add(cmp.Or(h.Retention, p.Limits.Grace))
	switch {
	case p.runs(evict):
		p.short = false
	case h.Unfinished:
		p.add(evict)
	case h.Since.IsZero():
		if a := (Action{Do: Unpin, Key: h.Key}); !p.runs(a) {
			p.add(a)
		}
	case h.InUse:
	case p.short || !end.After(p.Now):
		p.short = false
		p.add(evict)
	default:
		p.add(Action{Do: Wait, Key: h.Key, Until: end, Why: InGrace})
	}
}
