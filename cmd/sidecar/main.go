// Command sidecar rides beside a game server in its pod and tells Agones the truth about it.
package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

// version is set by the Makefile.
var version = "dev"

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:     "sidecar",
		Short:   "Health, readiness, players and allocation of a game server under Agones, earned rather than assumed",
		Version: version,
	}
	root.PersistentFlags().String("log-level", "info", "debug, info, warn or error")
	root.PersistentFlags().String("log-format", "json", "text or json")
	var game exit
	root.AddCommand(runCommand(&game, getenv), devServerCommand())
	code := cli.Main(ctx, root, args, getenv, stdout, stderr)
	if game.known { // a wrapper ends as what it wraps
		return game.code
	}
	return code
}

// exit is how the wrapped game ended.
type exit struct {
	known bool
	code  int
}
