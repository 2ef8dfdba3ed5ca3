// Command warmer makes images present, unpacked and pinned on a node before a game server needs them.
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

// memoryLimit keeps the garbage collector ahead of the 64 MB that a node's agent may take, of which the program itself has
// half.
const memoryLimit = 24 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	reporter := progress.New(stderr, isTerminal(stderr))
	defer reporter.Close()
	o := options{reporter: reporter}
	root := &cobra.Command{
		Use:     "warmer",
		Short:   "Game server images on a node before they are needed: fetched, unpacked, pinned",
		Version: version,
	}
	o.addTo(root.PersistentFlags())
	root.AddCommand(pullCommand(&o), agentCommand(&o), lsCommand(&o), verifyCommand(&o), dropCommand(&o), controllerCommand(), gateCommand(&o), statusCommand(&o))
	return cli.Main(ctx, root, args, getenv, stdout, reporter)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
