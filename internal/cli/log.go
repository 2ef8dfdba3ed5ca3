package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

type logKey struct{}

// Log is the logger that --log-level and --log-format ask for, in a command that [Main] runs; elsewhere it discards.
func Log(ctx context.Context) *slog.Logger {
	if l, ok := ctx.Value(logKey{}).(*slog.Logger); ok {
		return l
	}
	return slog.New(slog.DiscardHandler)
}

// Logger makes a logger: level is debug, info, warn or error, format text or json.
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

// addLogFlags adds --log-level and --log-format unless the command has its own.
func addLogFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	if flags.Lookup("log-level") == nil {
		flags.String("log-level", "info", "debug, info, warn or error")
	}
	if flags.Lookup("log-format") == nil {
		flags.String("log-format", "text", "text or json")
	}
}

func setLog(c *cobra.Command, w io.Writer) error {
	level, format := c.Flags().Lookup("log-level"), c.Flags().Lookup("log-format")
	log, err := Logger(w, level.Value.String(), format.Value.String())
	if err != nil {
		return err
	}
	c.SetContext(context.WithValue(c.Context(), logKey{}, log))
	return nil
}
