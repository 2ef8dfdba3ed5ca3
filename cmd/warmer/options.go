package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/internal/progress"
	"github.com/pitcrew-dev/pitcrew/warmer"
	"github.com/pitcrew-dev/pitcrew/warmer/containerd"
	"github.com/pitcrew-dev/pitcrew/warmer/cri"
	"github.com/pitcrew-dev/pitcrew/warmer/manifest"
	"github.com/pitcrew-dev/pitcrew/warmer/registry"
)

// options are the flags that all commands have.
type options struct {
	socket      string
	namespace   string
	snapshotter string
	root        string
	output      string
	reporter    *progress.Reporter
}

func (o *options) addTo(f *pflag.FlagSet) {
	f.StringVar(&o.socket, "containerd", containerd.DefaultSocket, "containerd's socket")
	f.StringVar(&o.namespace, "namespace", "k8s.io", "containerd's namespace; kubelet looks in k8s.io only")
	f.StringVar(&o.snapshotter, "snapshotter", "", "what unpacks layers; default: the one that CRI uses")
	f.StringVar(&o.root, "containerd-root", "", "where containerd's data is seen from here, for its free space; default: where containerd says")
	f.StringVar(&o.output, "output", "text", "what goes to standard output: text or json")
}

// open connects to containerd. owner tells what an agent made from what commands made.
func (o *options) open(ctx context.Context, owner string) (*containerd.Runtime, error) {
	if o.output != "text" && o.output != "json" {
		return nil, misuse{fmt.Errorf("--output %q is not known: use text or json", o.output)}
	}
	snapshotter := o.snapshotter
	if snapshotter == "" {
		client, err := cri.Dial(o.socket)
		if err != nil {
			return nil, err
		}
		snapshotter = client.Snapshotter(ctx)
		_ = client.Close() // it was asked
	}
	return containerd.Open(ctx, containerd.Options{
		Socket: o.socket, Namespace: o.namespace, Snapshotter: snapshotter, Root: o.root, Owner: owner, Log: cli.Log(ctx),
	})
}

// print writes v as one JSON document, or the text.
func (o *options) print(w io.Writer, v any, text func(io.Writer) error) error {
	if o.output == "json" {
		return json.NewEncoder(w).Encode(v)
	}
	return text(w)
}

// misuse is a fault of the command line.
type misuse struct{ error }

// ExitCode is that of the other commands.
func (misuse) ExitCode() int { return 2 }

// failure gives an error the exit code that scripts branch on, which are those of builder.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// ExitCode is 3 for what a registry does not have or what is damaged, 4 for refused credentials, 5 for what may pass.
func (f failure) ExitCode() int {
	_, damaged := errors.AsType[*warmer.DigestError](f.error)
	_, misused := errors.AsType[misuse](f.error)
	switch {
	case misused:
		return 2
	case errors.Is(f.error, warmer.ErrDenied):
		return 4
	case damaged, errors.Is(f.error, registry.ErrContent), errors.Is(f.error, registry.ErrReference), errors.Is(f.error, manifest.ErrInvalid),
		errors.Is(f.error, warmer.ErrNotFound), errors.Is(f.error, warmer.ErrNotSupported):
		return 3
	case errors.Is(f.error, warmer.ErrUnavailable):
		return 5
	}
	return 1
}

func human(n int64) string { return humanize.Bytes(uint64(max(0, n))) }

// size is a flag's number of bytes, such as 50MiB; 0 stands for no limit.
type size int64

func (s *size) String() string { return humanize.IBytes(uint64(*s)) }
func (s *size) Type() string   { return "bytes" }

func (s *size) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is no size: write 50MiB", text)
	}
	*s = size(n)
	return nil
}
