package warmer

import "time"

// Verb is a kind of action.
type Verb string

// What an agent does to a node.
const (
	// Resolve asks what a reference stands for, and brings index, manifest and configuration.
	Resolve Verb = "resolve"
	// Transfer has the runtime bring all blobs of an image that are missing, by itself.
	Transfer Verb = "transfer"
	// Interrupt ends a transfer before its time. What it has brought stays.
	Interrupt Verb = "interrupt"
	// Fetch brings a layer's blob.
	Fetch Verb = "fetch"
	// Unpack makes a layer a snapshot on top of the one below it.
	Unpack Verb = "unpack"
	// Keep gives an image that is complete its names, labels and pin.
	Keep Verb = "keep"
	// Unpin lets kubelet's garbage collection have an image and notes since when it is unwanted.
	Unpin Verb = "unpin"
	// Evict takes an image's names away, and so what no other image holds.
	Evict Verb = "evict"
	// Wait does nothing: it says until when, and why.
	Wait Verb = "wait"
)

// Action is one step. [Action.Same] tells whether it is another one's.
type Action struct {
	Do Verb
	// Key is the want, or what is held.
	Key string
	// Layer is the layer to fetch or unpack, by its place from the bottom, Digest its digest or its chain ID.
	Layer  int
	Digest Digest
	// Bytes is how much of the disk it may take; of a transfer that runs, how much it may still take.
	Bytes int64
	// Until is when a wait is over; zero if that is not a matter of time.
	Until time.Time
	Why   Reason
}

// Reason says why an image waits.
type Reason string

// Why an image waits.
const (
	// BackOff follows a failure.
	BackOff Reason = "back-off"
	// DiskFull means that the image does not fit above the floor.
	DiskFull Reason = "disk"
	// Refreshing is the time until a tag is looked up again.
	Refreshing Reason = "refresh"
	// InGrace is the time until something unwanted is evicted.
	InGrace Reason = "grace"
)

// Same says that a does what b does, for whichever image.
func (a Action) Same(b Action) bool {
	if a.Do != b.Do {
		return false
	}
	if a.Do == Fetch || a.Do == Unpack {
		return a.Digest == b.Digest
	}
	return a.Key == b.Key
}
