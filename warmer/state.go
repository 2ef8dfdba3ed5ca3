package warmer

import "time"

// State is what is known of a node.
type State struct {
	Now time.Time
	// Images are those of the wants that were looked up, by [Want.Key].
	Images map[string]Known
	// Blobs and Snapshots are what of these images is there: blobs by digest, snapshots by chain ID. Of a blob that is not
	// complete the value is how many bytes are.
	Blobs     map[Digest]Blob
	Snapshots map[Digest]bool
	// Grown are the sizes of snapshots, by chain ID, that turned out to be larger than expected.
	Grown map[Digest]int64
	// Held are the images that this owner keeps on the node, wanted or not.
	Held []Held
	// NotBefore is until when an image is left alone after a failure, by [Want.Key].
	NotBefore map[string]time.Time
	// Untransferable are the images that the runtime could not bring by itself, by [Want.Key].
	Untransferable map[string]bool
	// Running are the actions that have not ended.
	Running []Action
	// Applied are the snapshots, by chain ID, whose unpacking is running and has only the layer below to wait for.
	Applied map[Digest]bool

	Disk   Disk
	Limits Limits
}

// Known is a want that was looked up.
type Known struct {
	Image
	// Checked is when the registry was asked last what the reference stands for.
	Checked time.Time
	// Kept says that the node holds all of it under the names, labels and pins that were wanted.
	Kept bool
}

// Blob is how much of a blob is there.
type Blob struct {
	Complete bool
	Offset   int64
}

// Held is an image, or the assets of one, that this owner keeps on the node.
type Held struct {
	// Key is that of the want it was held for.
	Key string
	// Since is when it was found unwanted; zero while it is wanted.
	Since  time.Time
	InUse  bool
	Pinned bool
	// Unfinished is what a pull has left that was not completed.
	Unfinished bool
	// Retention is that of the want it was held for.
	Retention time.Duration
}

// Disk is the file system of the runtime.
type Disk struct {
	Free, Total int64
	// Floor is how much has to stay free.
	Floor int64
}

// Limits bound what Plan lets run.
type Limits struct {
	Fetches, Unpacks int
	// Transfer lets the runtime bring whole images by itself, one at a time and beside no fetch.
	Transfer bool
	// Ahead lets layers be unpacked before those below them are.
	Ahead bool
	// Refresh is after how long a tag is looked up again; 0: never.
	Refresh time.Duration
	// Grace is how long what is unwanted stays, unless its want said so itself.
	Grace time.Duration
}
