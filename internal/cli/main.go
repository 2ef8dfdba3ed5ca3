package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

// Main runs the command and returns the process's exit code. cmd must not have been run before.
//
// A variable counts where its flag is not on the command line: --cache-dir is PITCREW_CACHE_DIR. A flag that may be
// repeated takes comma-separated values. A variable that is empty is not set. The help text names each variable.
//
// The first SIGINT or SIGTERM cancels the command's context; a second one ends the process at once.
func Main(ctx context.Context, cmd *cobra.Command, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	ctx, stop := notify(ctx)
	defer stop()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.Version = Version(cmd.Version)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	addLogFlags(cmd)
	documentVariables(cmd)
	before(cmd, func(c *cobra.Command) error {
		if err := readVariables(c.Flags(), getenv); err != nil {
			return err
		}
		return setLog(c, stderr)
	})
	started := false
	onStart(cmd, func() { started = true })

	ran, err := cmd.ExecuteContextC(ctx)
	if err == nil && !started {
		err = incomplete(ran)
	}
	if err == nil {
		return 0
	}
	if !started {
		err = usageError{err}
	}
	err = explain(ctx, err)
	printError(stderr, cmd.Name(), err)
	return exitCode(err)
}
