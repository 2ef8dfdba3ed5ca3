package agent

import (
	"slices"
	"time"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Status is what an agent knows and does; /status shows it. Sizes are in bytes.
type Status struct {
	// At is when this was true.
	At time.Time `json:"at"`
	// Observed says that the node has been looked at.
	Observed bool          `json:"observed"`
	Images   []ImageStatus `json:"images"`
	// Phases has what is wanted and there of each phase; what images share counts once.
	Phases map[string]Bytes `json:"phases"`
	// Running is how many actions are under way.
	Running int `json:"running"`
	// Unwanted are images that are still there.
	Unwanted  []string `json:"unwanted,omitempty"`
	Players   int      `json:"players"`
	Bandwidth int64    `json:"bandwidth"`
	DiskFree  int64    `json:"diskFree"`
	DiskTotal int64    `json:"diskTotal"`
	DiskFloor int64    `json:"diskFloor"`
}

// ImageState is how far an image is.
type ImageState string

// The states of an image.
const (
	Resolving ImageState = "resolving"
	Pulling   ImageState = "pulling"
	Waiting   ImageState = "waiting"
	Failed    ImageState = "failed"
	Warm      ImageState = "warm"
)

// ImageStatus is how far one image is.
type ImageStatus struct {
	warmer.Want
	Key    string        `json:"-"`
	State  ImageState    `json:"state"`
	Digest warmer.Digest `json:"digest,omitempty"`
	// Phases has what is wanted and there of each phase.
	Phases map[string]Bytes `json:"phases,omitempty"`
	Bytes
	// Fetched came from a registry in this run.
	Fetched int64 `json:"fetched"`
	// Found says that the image was warm when it was looked at first.
	Found    bool          `json:"found"`
	Failures int           `json:"failures,omitempty"`
	Error    string        `json:"error,omitempty"`
	Err      error         `json:"-"`
	Why      warmer.Reason `json:"why,omitempty"`
	Until    time.Time     `json:"until,omitzero"`
}

// Bytes are those of layers' blobs.
type Bytes struct {
	Wanted  int64 `json:"wanted"`
	Present int64 `json:"present"`
}

// publish makes the status that others read.
func (l *loop) publish() {
	l.published = time.Now()
	s := Status{
		Observed: !l.observed.IsZero(), Players: l.players, Bandwidth: l.pace().Bandwidth,
		DiskFree: l.disk.Free, DiskTotal: l.disk.Total, DiskFloor: l.disk.Floor, Images: []ImageStatus{},
		At: l.published,
	}
	for _, j := range l.running {
		if !j.waits() {
			s.Running++
		}
	}
	if l.diskErr != nil {
		s.DiskFree = 0
	}
	for _, w := range l.wants {
		s.Images = append(s.Images, l.imageStatus(w.Key()))
	}
	s.Phases = l.phases()
	for _, h := range l.held {
		if l.wanted[h.Key] == nil {
			s.Unwanted = append(s.Unwanted, h.Key)
		}
	}
	l.agent.mu.Lock()
	defer l.agent.mu.Unlock()
	l.agent.status = s
}

func (l *loop) imageStatus(key string) ImageStatus {
	w := l.wanted[key]
	out := ImageStatus{Want: w.want, Key: key, State: Resolving, Fetched: w.fetched.Load(), Found: w.found, Failures: w.failures, Err: w.err}
	if w.known != nil {
		out.State, out.Digest = Pulling, w.known.Target.Digest
		l.count(&out, w.want.Layers.Select(w.known.Layers))
	}
	if i := slices.IndexFunc(l.waits, func(a warmer.Action) bool { return a.Key == key && a.Why != warmer.Refreshing }); i >= 0 {
		out.State, out.Why, out.Until = Waiting, l.waits[i].Why, l.waits[i].Until
	}
	if w.err != nil {
		out.State = Failed
	} else if out.Why == warmer.DiskFull {
		out.Err = &DiskError{Key: key, Disk: l.disk}
	}
	if out.Err != nil {
		out.Error = out.Err.Error()
	}
	if w.warm {
		out.State = Warm
	}
	return out
}

func (l *loop) count(out *ImageStatus, layers []warmer.Layer) {
	out.Phases = map[string]Bytes{}
	l.tally(out.Phases, map[warmer.Digest]bool{}, layers)
	for _, b := range out.Phases {
		out.Wanted, out.Present = out.Wanted+b.Wanted, out.Present+b.Present
	}
}

// phases counts over all images.
func (l *loop) phases() map[string]Bytes {
	out, counted := map[string]Bytes{}, map[warmer.Digest]bool{}
	for _, w := range l.wanted {
		if w.known != nil {
			l.tally(out, counted, w.want.Layers.Select(w.known.Layers))
		}
	}
	return out
}

func (l *loop) tally(phases map[string]Bytes, counted map[warmer.Digest]bool, layers []warmer.Layer) {
	for i := range layers {
		x := &layers[i]
		if counted[x.Digest] {
			continue
		}
		counted[x.Digest] = true
		there := l.blobs[x.Digest].Offset
		for _, j := range l.running {
			if j.Do == warmer.Fetch && j.Digest == x.Digest {
				there += j.done.Load()
			}
		}
		b := phases[x.Phase]
		b.Wanted, b.Present = b.Wanted+x.Size, b.Present+there
		phases[x.Phase] = b
	}
}
