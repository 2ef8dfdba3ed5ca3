// Command release packs charts as OCI artifacts the way `helm push` does, and reads a release back before anybody publishes it.
// scripts/release.sh runs it; nothing leaves the machine.
//
//	release charts -charts DIR...      charts/NAME-VERSION.tgz, and the layouts charts/NAME
//	release verify                     checksums, images, binaries, bills of materials and charts, from the files alone
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release: error:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// release is what all commands are told.
type release struct {
	dir      string // what is published
	version  string // of programs, and the tag of their images
	revision string // the commit
	created  time.Time
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return errors.New("usage: release charts|verify -dir DIR -version V -revision COMMIT [-created SECONDS] [-charts DIR]")
	}
	var r release
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&r.dir, "dir", "dist/release", "the release's folder")
	flags.StringVar(&r.version, "version", "", "of programs, and the tag of their images")
	flags.StringVar(&r.revision, "revision", "", "the commit")
	created := flags.Int64("created", 0, "seconds since 1970 that charts are dated")
	charts := flags.String("charts", "charts", "folder of charts")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	r.created = time.Unix(*created, 0).UTC()
	switch args[0] {
	case "charts":
		sources, err := filepath.Glob(filepath.Join(*charts, "*", "Chart.yaml"))
		if err != nil {
			return err
		}
		for _, file := range sources {
			if err := r.pack(ctx, filepath.Dir(file)); err != nil {
				return fmt.Errorf("pack %s: %w", filepath.Dir(file), err)
			}
		}
		return nil
	case "verify":
		return r.verify(ctx, stdout)
	}
	return fmt.Errorf("%q is no command: use charts or verify", args[0])
}
