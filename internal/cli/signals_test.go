package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

const stubbornVariable = "CLI_TEST_STUBBORN"

// With the variable set the test program is a command that does not stop when its context ends.
func TestMain(m *testing.M) {
	if os.Getenv(stubbornVariable) != "" {
		os.Exit(cli.Main(context.Background(), stubborn(), nil, os.Getenv, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

func stubborn() *cobra.Command {
	return &cobra.Command{Use: "stubborn", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		fmt.Fprintln(c.OutOrStdout(), "ready")
		<-c.Context().Done()
		fmt.Fprintln(c.OutOrStdout(), "told to stop")
		_, err := io.Copy(io.Discard, os.Stdin) // nobody closes it
		return err
	}}
}

func TestASignalEndsTheContextAndSetsTheExitCode(t *testing.T) {
	for s, c := range map[syscall.Signal]struct {
		code int
		name string
	}{syscall.SIGINT: {130, "interrupt"}, syscall.SIGTERM: {143, "terminated"}} {
		root := &cobra.Command{Use: "tool", RunE: func(c *cobra.Command, _ []string) error {
			if err := syscall.Kill(os.Getpid(), s); err != nil {
				return err
			}
			<-c.Context().Done()
			return coded{fmt.Errorf("pull: %w", c.Context().Err())}
		}}
		var stderr bytes.Buffer
		code := cli.Main(t.Context(), root, nil, os.Getenv, io.Discard, &stderr)
		want := "tool: error: stopped by signal: " + c.name + ": pull: context canceled\n"
		if code != c.code || stderr.String() != want {
			t.Errorf("%v: exit %d, %q, want %d, %q", s, code, stderr.String(), c.code, want)
		}
	}
}

func TestACommandThatStopsInOrderSucceeds(t *testing.T) {
	root := &cobra.Command{Use: "tool", RunE: func(c *cobra.Command, _ []string) error {
		err := syscall.Kill(os.Getpid(), syscall.SIGTERM)
		<-c.Context().Done()
		return err
	}}
	if code := cli.Main(t.Context(), root, nil, os.Getenv, io.Discard, io.Discard); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}

func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), stubbornVariable+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for _, want := range []string{"ready", "told to stop"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the command says %q, want %q", lines.Text(), want)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ok || !strings.Contains(exit.String(), "signal: terminated") {
		t.Errorf("the command ended with %v, want the signal", exit)
	}
}
