// Package cli is what the command lines share: flags with environment variables, logs on standard error, and errors that
// become an exit code and a hint.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usage is the exit code for a command line that does not parse.
const usage = 2

// Main runs the command and returns the process's exit code: 0, 2 for a wrong command line, what an error's ExitCode
// method says, or 1. Errors go to stderr, with a hint if they have a HintText method.
func Main(ctx context.Context, cmd *cobra.Command, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	fromEnvironment(cmd, getenv)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s: error: %v\n", cmd.Name(), err)
	if h, ok := errors.AsType[hinter](err); ok && h.HintText() != "" {
		fmt.Fprintf(stderr, "%s: hint: %s\n", cmd.Name(), h.HintText())
	}
	return code(err)
}

type hinter interface {
	error
	HintText() string
}

type exitCoder interface {
	error
	ExitCode() int
}

type usageError struct{ error }

func code(err error) int {
	if c, ok := errors.AsType[exitCoder](err); ok {
		return c.ExitCode()
	}
	if _, ok := errors.AsType[usageError](err); ok || strings.HasPrefix(err.Error(), "unknown command") {
		return usage
	}
	return 1
}

// Args makes cobra's argument checks usage errors.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// fromEnvironment gives every flag a variable: --cache-dir is PITCREW_CACHE_DIR. The flag wins.
func fromEnvironment(cmd *cobra.Command, getenv func(string) string) {
	set := func(flags *pflag.FlagSet) {
		flags.VisitAll(func(f *pflag.Flag) {
			name := "PITCREW_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			f.Usage += " [" + name + "]"
			if v := getenv(name); v != "" {
				if err := f.Value.Set(v); err != nil {
					f.Usage += " (the variable's value is not valid)"
					bad := cmd.PersistentPreRunE
					cmd.PersistentPreRunE = func(c *cobra.Command, args []string) error {
						if c.Flags().Changed(f.Name) {
							return run(bad, c, args)
						}
						return usageError{fmt.Errorf("%s=%q: %w", name, v, err)}
					}
				}
			}
		})
	}
	set(cmd.PersistentFlags())
	for _, sub := range cmd.Commands() {
		set(sub.Flags())
	}
}

func run(f func(*cobra.Command, []string) error, c *cobra.Command, args []string) error {
	if f == nil {
		return nil
	}
	return f(c, args)
}

// Logger makes the process's logger: level is debug, info, warn or error, format text or json.
func Logger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: use debug, info, warn or error", level)}
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q: use text or json", format)}
}
