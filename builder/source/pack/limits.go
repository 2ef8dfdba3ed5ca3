package pack

import (
	"io"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Limits bound what an archive may become; zero values mean the defaults.
type Limits struct {
	// MaxSize is the most bytes that all files may have, those included that later entries replace; default 64 GiB.
	MaxSize int64
	// MaxEntries is the most entries, those included that are left out, and folders that are only implied;
	// default 2,000,000.
	MaxEntries int
	// MaxRatio is how many bytes may come of one byte of the packed archive, once more than 64 MiB came; default 200.
	MaxRatio float64
}

const (
	defaultSize    = 64 << 30
	defaultEntries = 2_000_000
	defaultRatio   = 200
	ratioFrom      = 64 << 20

	maxPath  = 4096      // bytes of a name or a link's target
	maxNames = 512 << 20 // bytes of all names and targets, which are held in memory
)

const limitHint = "raise the limit if the archive is meant to be so large"

func (l Limits) orDefault() Limits {
	if l.MaxSize <= 0 {
		l.MaxSize = defaultSize
	}
	if l.MaxEntries <= 0 {
		l.MaxEntries = defaultEntries
	}
	if l.MaxRatio <= 0 {
		l.MaxRatio = defaultRatio
	}
	return l
}

// ratioGuard ends a stream that unpacks to suspiciously much.
type ratioGuard struct {
	r      io.Reader
	packed func() int64
	ratio  float64
	n      int64
}

func (g *ratioGuard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	g.n += int64(n)
	if g.n > ratioFrom && float64(g.n) > g.ratio*float64(g.packed()) {
		return n, builder.Errorf(builder.Input, "the archive is made to fill disks, or holds little but zeros: pack it without compression",
			"%d bytes of it unpack to more than %d: over %g times as many", g.packed(), g.n, g.ratio)
	}
	return n, err //nolint:wrapcheck // a reader passes errors on
}
