package cli_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

type coded struct{ error }

func (coded) ExitCode() int    { return 6 }
func (coded) HintText() string { return "do less" }

func run(t *testing.T, env map[string]string, result error, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	root := &cobra.Command{Use: "tool"}
	var n int
	sub := &cobra.Command{Use: "sub", Args: cli.Args(cobra.NoArgs), RunE: func(c *cobra.Command, _ []string) error {
		c.Println("n =", n)
		return result
	}}
	sub.Flags().IntVar(&n, "many-things", 1, "how many")
	root.AddCommand(sub)
	var out, errs bytes.Buffer
	code = cli.Main(t.Context(), root, args, func(k string) string { return env[k] }, &out, &errs)
	return code, out.String(), errs.String()
}

func TestFlagBeatsEnvironmentBeatsDefault(t *testing.T) {
	env := map[string]string{"PITCREW_MANY_THINGS": "2"}
	for _, c := range []struct {
		env  map[string]string
		args []string
		want string
	}{{nil, []string{"sub"}, "n = 1"}, {env, []string{"sub"}, "n = 2"}, {env, []string{"sub", "--many-things", "3"}, "n = 3"}} {
		if code, stdout, stderr := run(t, c.env, nil, c.args...); code != 0 || !strings.Contains(stdout, c.want) {
			t.Errorf("%v with %v: exit %d, %q, want %q", c.args, c.env, code, stderr, c.want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		args []string
		code int
		say  string
	}{
		{"an error's own code and hint", coded{errors.New("too big")}, []string{"sub"}, 6, "tool: error: too big\ntool: hint: do less\n"},
		{"any other error", errors.New("oops"), []string{"sub"}, 1, "tool: error: oops"},
		{"an unknown flag", nil, []string{"sub", "--nope"}, 2, "unknown flag"},
		{"an unknown command", nil, []string{"nope"}, 2, "unknown command"},
		{"too many arguments", nil, []string{"sub", "x"}, 2, "tool: error: "},
	} {
		code, _, stderr := run(t, nil, c.err, c.args...)
		if code != c.code || !strings.Contains(stderr, c.say) {
			t.Errorf("%s: exit %d, %q, want %d, %q", c.name, code, stderr, c.code, c.say)
		}
	}
	if code, _, stderr := run(t, map[string]string{"PITCREW_MANY_THINGS": "x"}, nil, "sub"); code != 2 || !strings.Contains(stderr, "PITCREW_MANY_THINGS") {
		t.Errorf("a bad variable: exit %d, %q, want 2 and its name", code, stderr)
	}
}
