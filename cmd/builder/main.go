// Command builder turns a pipeline's phases into layered multi-platform images, without a container engine.
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
	var o options
	root := &cobra.Command{
		Use:     "builder",
		Short:   "Layered multi-platform game server images, assets at the bottom, without a container engine",
		Version: version,
	}
	o.addTo(root.PersistentFlags())
	root.AddCommand(buildCommand(&o), validateCommand(&o), inspectCommand(&o), diffCommand(&o))
	return cli.Main(ctx, root, args, getenv, stdout, stderr)
}
