package cli_test

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

func ExampleMain() {
	var jobs int
	root := &cobra.Command{Use: "tool", RunE: func(cmd *cobra.Command, _ []string) error {
		cli.Log(cmd.Context()).Debug("starting") // with --log-level debug, on standard error
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d jobs\n", jobs)
		return err
	}}
	root.Flags().IntVar(&jobs, "jobs", 2, "how many at the same time")

	env := map[string]string{"PITCREW_JOBS": "8"}
	code := cli.Main(context.Background(), root, nil, func(k string) string { return env[k] }, os.Stdout, os.Stderr)
	fmt.Println("exit", code)
	// Output:
	// 8 jobs
	// exit 0
}
