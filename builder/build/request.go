package build

import (
	"log/slog"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/compose"
	"github.com/pitcrew-dev/pitcrew/builder/lock"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
	"github.com/pitcrew-dev/pitcrew/builder/profile"
)

// Request is one build, with everything that the pipeline file and the command line say resolved.
type Request struct {
	Phases    []Phase
	Platforms []v1.Platform
	// AllPlatforms are those of the pipeline, of which Platforms may be a part. The assets' own image is always for all of
	// them: it costs nothing, and whoever composes another platform finds it.
	AllPlatforms []v1.Platform
	// Repository holds the server image. It is opened by [Builder.Open].
	Repository string
	// Tags are moved to the new index when all of it is there. None: the image is found by digest only.
	Tags    []string
	Image   compose.Options
	Budgets Budgets
	// Lock is what the last build remembered, or nil.
	Lock *lock.Lock
	// From is the image whose layers are kept if there is no Lock: the one beside it is taken then. nil: what the first tag
	// names.
	From *Origin
	// Only restricts the build to these phases' own images: no server image is composed.
	Only []builder.Phase
	// Compact plans all layers afresh, whatever the lock says of them.
	Compact bool
	// ServerOnly leaves out the phases' own images, and what is attached to the server's.
	ServerOnly bool
	Recipe     Recipe
	// remake makes layers again that are known.
	remake bool
	// composing takes phases as they are published.
	composing bool
}

// Origin is an image to go on from.
type Origin struct {
	Repository builder.Reader
	// Name is the repository's, as PutBlob takes it to mount from.
	Name string
	// Reference is a tag or digest in it.
	Reference string
}

// Phase is one phase of a request.
type Phase struct {
	Name       builder.Phase
	Repository string
	Sources    []Source
	// Replaces are globs of paths that the phase may write although a phase below wrote them.
	Replaces     []string
	Layers       int
	MaxLayerSize int64
	MaxDeltas    int
	// Compression is "auto" or a codec such as "zstd:3".
	Compression string
	Config      v1.Config
	// Profile is the part of the phase's files that is wanted, nil for all, and Profiles are all that there are.
	Profile  *profile.Profile
	Profiles []profile.Profile
}

// Source is a source with its place in the image.
type Source struct {
	builder.Source
	// Origin names the source in messages: "phases.assets.sources[0] (dir assets)".
	Origin           string
	Platforms        []v1.Platform // empty: all
	Include, Exclude []string
	Destination      string
	UID, GID         *int
}

// Budgets are limits that fail a build with a Policy error before any tag moves; 0 means none.
type Budgets struct {
	ImageBytes int64 // what a cold node pulls for one platform
	EditBytes  int64 // what a node that holds the tag's present image pulls for one platform
	Layers     int
}

// Builder is what a build needs from outside.
type Builder struct {
	// Open gives access to a repository by the name that a request uses.
	Open func(name string) (builder.Repository, error)
	// Layers remembers layers of earlier builds on this machine; it may be nil. The caller saves it.
	Layers *memo.Layers
	// Jobs bounds how many layers are packed and sent at the same time.
	Jobs int
	// Workers bounds how many files are hashed at the same time.
	Workers int
	Log     *slog.Logger
	// Progress is told of every layer that is packed; it may be nil.
	Progress func(layer string, total int64) (add func(n int64), done func())
}

// Result is what a build did: `builder build --output json`. Sizes are bytes.
type Result struct {
	Ref          string        `json:"ref"`
	Digest       string        `json:"digest"`
	PushedBytes  int64         `json:"pushedBytes"`
	MountedBytes int64         `json:"mountedBytes"`
	ReusedBytes  int64         `json:"reusedBytes"`
	Phases       []PhaseResult `json:"phases"`

	// Index is the composed server image, or nil if only phases were built.
	Index *compose.Index `json:"-"`
	// Lock is what to remember for the next build.
	Lock *lock.Lock `json:"-"`
}

// PhaseResult is one phase of a [Result].
type PhaseResult struct {
	Name        string `json:"name"`
	InputDigest string `json:"inputDigest"`
	// Cached is true if no layer of the phase had to be made.
	Cached bool `json:"cached"`
	// Reason is why it is cached, or which input changed.
	Reason string `json:"reason,omitempty"`
	// Layers counts the layers on one platform.
	Layers int `json:"layers"`
}

// created is the time that goes into layers as well as into configs.
func (r Request) created() time.Time { return r.Image.Created }
