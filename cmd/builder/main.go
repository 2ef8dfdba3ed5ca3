// Command builder turns a pipeline's phases into layered multi-platform images, without a container engine.
package main

import (
	"context"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
	"github.com/pitcrew-dev/pitcrew/internal/progress"
)

// version is set by the Makefile.
var version = "dev"

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // a build's garbage is large blocks: a quarter less memory for no CPU that could be measured
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	reporter := progress.New(stderr, isTerminal(stderr))
	defer reporter.Close()
	o := options{reporter: reporter}
	root := &cobra.Command{
		Use:     "builder",
		Short:   "Layered multi-platform game server images, assets at the bottom, without a container engine",
		Version: version,
	}
	o.addTo(root.PersistentFlags())
	root.AddCommand(buildCommand(&o), planCommand(&o), composeCommand(&o), verifyCommand(&o), sbomCommand(&o), signCommand(&o), promoteCommand(&o), pruneCommand(&o), traceCommand(&o), validateCommand(&o), inspectCommand(&o), diffCommand(&o))
	return cli.Main(ctx, root, args, getenv, stdout, reporter)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
