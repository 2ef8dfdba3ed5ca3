package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/pitcrew-dev/pitcrew/internal/bell"
	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Options say where containerd is, and who asks.
type Options struct {
	// Socket is containerd's; empty means DefaultSocket.
	Socket string
	// Namespace is kubelet's, k8s.io, when empty.
	Namespace string
	// Snapshotter is overlayfs when empty; package cri knows which one kubelet's images are in.
	Snapshotter string
	// Root is where containerd keeps its data, as seen from here; empty means where it says that it does.
	Root string
	// Stall is how long nothing may come in a transfer before it is given up; 0 means half a minute.
	Stall time.Duration
	// Owner tells what this process made from what others did: "agent" or "pull".
	Owner string
	Log   *slog.Logger
}

// DefaultSocket is where containerd listens unless it is told otherwise.
const DefaultSocket = "/run/containerd/containerd.sock"

// maxWriters is how many blobs are written at once, each through a connection of its own: a connection's window is 64 KiB,
// whatever goes through it.
const maxWriters = 4

const (
	dialTimeout  = 5 * time.Second
	leaseExpires = 24 * time.Hour
)

// Runtime is a connection to containerd. It implements [warmer.Runtime].
type Runtime struct {
	client      *client.Client
	snapshotter string
	root        string
	platform    string
	rebases     bool // snapshots can get their parent when they are committed
	transfers   bool
	stall       time.Duration
	owner       string
	log         *slog.Logger
	leased      sync.Map // time.Time by ID: when a lease was there
	writers     chan *client.Client
	commits     bell.Bell // rung when there is another snapshot
	left        sync.Map  // string by chain ID: snapshots that are applied, and nobody waits to commit
}

var _ warmer.Runtime = (*Runtime)(nil)

// Open connects. It fails when nothing answers at the socket, or something that is not containerd.
func Open(ctx context.Context, o Options) (*Runtime, error) {
	if o.Socket == "" {
		o.Socket = DefaultSocket
	}
	if o.Namespace == "" {
		o.Namespace = "k8s.io"
	}
	if o.Snapshotter == "" {
		o.Snapshotter = "overlayfs"
	}
	if o.Owner == "" {
		o.Owner = "pull"
	}
	if o.Stall == 0 {
		o.Stall = transferStall
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := socket(o.Socket); err != nil {
		return nil, err
	}
	c, err := client.New(o.Socket, client.WithDefaultNamespace(o.Namespace), client.WithTimeout(dialTimeout))
	if err != nil {
		return nil, fmt.Errorf("containerd at %s: %w: %w", o.Socket, err, warmer.ErrUnavailable)
	}
	r := &Runtime{client: c, snapshotter: o.Snapshotter, root: o.Root, owner: o.Owner, stall: o.Stall, log: o.Log, platform: "linux/" + runtime.GOARCH, writers: make(chan *client.Client, maxWriters)}
	for range maxWriters { // each connects when it is used first
		w, err := client.New(o.Socket, client.WithDefaultNamespace(o.Namespace), client.WithTimeout(dialTimeout))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("containerd at %s: %w: %w", o.Socket, err, warmer.ErrUnavailable), r.Close())
		}
		r.writers <- w
	}
	if err := r.greet(ctx, o.Socket); err != nil {
		_ = r.Close() // the greeting's error counts
		return nil, err
	}
	return r, nil
}

func socket(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("containerd: no socket at %s: name another with --containerd: %w", path, err)
	case err != nil:
		return fmt.Errorf("containerd: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("containerd: %s is not a socket: %w", path, warmer.ErrNotSupported)
	}
	return nil
}

// greet asks containerd for its version, and for what it keeps where.
func (r *Runtime) greet(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	version, err := r.client.Version(ctx)
	if err != nil {
		return fmt.Errorf("%s does not answer as containerd does: %w", path, problem(err))
	}
	r.transfers = major(version.Version) >= 2 // before, the service was an experiment
	r.introduce(ctx)
	if _, err := r.client.SnapshotService(r.snapshotter).Usage(ctx, "none"); problem(err) != nil && !errors.Is(problem(err), warmer.ErrNotFound) {
		return fmt.Errorf("snapshotter %s: %w", r.snapshotter, problem(err))
	}
	if err := r.resume(ctx); err != nil {
		return fmt.Errorf("snapshotter %s: %w", r.snapshotter, err)
	}
	return nil
}

// Close ends the connections, once nothing is fetched any more.
func (r *Runtime) Close() error {
	err := r.client.Close()
	for {
		select {
		case w := <-r.writers:
			err = errors.Join(err, w.Close())
		default:
			return err
		}
	}
}

// Snapshotter is the one in use.
func (r *Runtime) Snapshotter() string { return r.snapshotter }

func (r *Runtime) snaps() snapshots.Snapshotter { return r.client.SnapshotService(r.snapshotter) }

// Platform is the one that containerd takes of an image for several, OS/ARCH: what kubelet would have it pull.
func (r *Runtime) Platform() string { return r.platform }

// major is the first number of a version, such as v2.4.2; 0 if there is none.
func major(version string) int {
	first, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	n, _ := strconv.Atoi(first) // 0 it is
	return n
}

// introduce asks what the snapshotter can do, for which platform, and where it keeps its files. Not every version says.
func (r *Runtime) introduce(ctx context.Context) {
	answer, err := r.client.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1,id=="+r.snapshotter)
	if err != nil || len(answer.Plugins) == 0 {
		return
	}
	if p := answer.Plugins[0].Platforms; len(p) > 0 && p[0].Architecture != "" {
		r.platform = p[0].OS + "/" + p[0].Architecture
	}
	r.rebases = slices.Contains(answer.Plugins[0].Capabilities, snapshots.RebaseCap)
	if r.root == "" {
		r.root = answer.Plugins[0].Exports["root"]
	}
}
