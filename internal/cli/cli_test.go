package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

// tool is a command line with a command "sub", a group "group" with a command "leaf", and flags of each kind.
type tool struct {
	env    map[string]string
	result error
	adapt  func(root, sub *cobra.Command)

	stdout, stderr string
}

// run returns the exit code.
func (x *tool) run(t *testing.T, args ...string) int {
	t.Helper()
	root := &cobra.Command{Use: "tool"}
	prefix := root.PersistentFlags().String("prefix", "", "what lines begin with")
	sub := &cobra.Command{Use: "sub", Args: cobra.NoArgs}
	many := sub.Flags().Int("many-things", 1, "how many")
	each := sub.Flags().StringArray("each", []string{"default"}, "may be repeated")
	sub.RunE = func(c *cobra.Command, _ []string) error {
		fmt.Fprintf(c.OutOrStdout(), "%s%d %v\n", *prefix, *many, *each)
		cli.Log(c.Context()).Debug("sub ran", "many", *many)
		return x.result
	}
	group := &cobra.Command{Use: "group"}
	group.AddCommand(&cobra.Command{Use: "leaf", RunE: func(*cobra.Command, []string) error { return x.result }})
	root.AddCommand(sub, group)
	if x.adapt != nil {
		x.adapt(root, sub)
	}
	var stdout, stderr bytes.Buffer
	code := cli.Main(t.Context(), root, args, func(k string) string { return x.env[k] }, &stdout, &stderr)
	x.stdout, x.stderr = stdout.String(), stderr.String()
	return code
}

func TestFlagBeatsEnvironmentBeatsDefault(t *testing.T) {
	env := map[string]string{"PITCREW_MANY_THINGS": "2", "PITCREW_EACH": "a,b", "PITCREW_PREFIX": "> "}
	for _, c := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{nil, []string{"sub"}, "1 [default]\n"},
		{env, []string{"sub"}, "> 2 [a b]\n"},
		{env, []string{"sub", "--many-things", "3", "--each", "c", "--prefix="}, "3 [c]\n"},
		{map[string]string{"PITCREW_MANY_THINGS": ""}, []string{"sub"}, "1 [default]\n"},
	} {
		x := tool{env: c.env}
		if code := x.run(t, c.args...); code != 0 || x.stdout != c.want {
			t.Errorf("%v with %v: exit %d, %q, %q, want %q", c.args, c.env, code, x.stdout, x.stderr, c.want)
		}
	}
}

func TestAVariableSatisfiesARequiredFlag(t *testing.T) {
	require := func(_, sub *cobra.Command) { _ = sub.MarkFlagRequired("many-things") }
	x := tool{adapt: require}
	if code := x.run(t, "sub"); code != 2 {
		t.Errorf("without the flag: exit %d, want 2; %s", code, x.stderr)
	}
	x = tool{adapt: require, env: map[string]string{"PITCREW_MANY_THINGS": "4"}}
	if code := x.run(t, "sub"); code != 0 || x.stdout != "4 [default]\n" {
		t.Errorf("with the variable: exit %d, %q, want 0; %s", code, x.stdout, x.stderr)
	}
}

func TestVariablesCountInACommandWithAHookOfItsOwn(t *testing.T) {
	for name, adapt := range map[string]func(*bool) func(root, sub *cobra.Command){
		"with an error": func(called *bool) func(_, sub *cobra.Command) {
			return func(_, sub *cobra.Command) {
				sub.PersistentPreRunE = func(*cobra.Command, []string) error { *called = true; return nil }
			}
		},
		"without": func(called *bool) func(_, sub *cobra.Command) {
			return func(_, sub *cobra.Command) {
				sub.PersistentPreRun = func(*cobra.Command, []string) { *called = true }
			}
		},
	} {
		called := false
		x := tool{adapt: adapt(&called), env: map[string]string{"PITCREW_MANY_THINGS": "4"}}
		if code := x.run(t, "sub"); code != 0 || x.stdout != "4 [default]\n" || !called {
			t.Errorf("a hook %s: exit %d, %q, hook called: %t", name, code, x.stdout, called)
		}
	}
}

func TestHelpNamesEveryVariable(t *testing.T) {
	x := tool{}
	if code := x.run(t, "sub", "--help"); code != 0 {
		t.Fatalf("exit %d: %s", code, x.stderr)
	}
	for _, want := range []string{
		"how many [PITCREW_MANY_THINGS] (default 1)", "[PITCREW_PREFIX]", "[PITCREW_EACH]",
		"--log-level string", "[PITCREW_LOG_LEVEL]", "[PITCREW_LOG_FORMAT]",
	} {
		if strings.Count(x.stdout, want) != 1 {
			t.Errorf("--help has %q %d times, want once:\n%s", want, strings.Count(x.stdout, want), x.stdout)
		}
	}
}

type coded struct{ error }

func (coded) ExitCode() int    { return 6 }
func (coded) HintText() string { return "do less" }

func TestExitCodes(t *testing.T) {
	child := exec.CommandContext(t.Context(), "sh", "-c", "exit 42").Run()
	for _, c := range []struct {
		name string
		err  error
		args []string
		code int
		say  string
	}{
		{"success", nil, []string{"sub"}, 0, ""},
		{"an error's own code and hint", fmt.Errorf("sub: %w", coded{errors.New("too big")}), []string{"sub"}, 6, "tool: error: sub: too big\ntool: hint: do less\n"},
		{"any other error", errors.New("oops"), []string{"sub"}, 1, "tool: error: oops\n"},
		{"a child's status", fmt.Errorf("run sh: %w", child), []string{"sub"}, 1, "tool: error: run sh: exit status 42\n"},
		{"an unknown flag", nil, []string{"sub", "--nope"}, 2, "tool: error: unknown flag: --nope\n"},
		{"an unknown command", nil, []string{"subb"}, 2, "tool: error: unknown command \"subb\" for \"tool\"\n\nDid you mean this?\n\tsub\n\n"},
		{"too many arguments", nil, []string{"sub", "x"}, 2, "tool: error: unknown command \"x\" for \"tool sub\"\n"},
		{"no command", nil, nil, 2, "tool: error: name a command: completion, group, sub\n"},
		{"a group alone", nil, []string{"group"}, 2, "tool: error: name a command: leaf\n"},
		{"an unknown command of a group", nil, []string{"group", "x"}, 2, "tool: error: unknown command \"x\" for \"tool group\"\n"},
		{"help", nil, []string{"--help"}, 0, ""},
		{"help for a group", nil, []string{"group", "-h"}, 0, ""},
		{"an unknown log format", nil, []string{"sub", "--log-format", "xml"}, 2, "tool: error: --log-format \"xml\": use text or json\n"},
		{"an unknown log level", nil, []string{"sub", "--log-level", "loud"}, 2, "tool: error: --log-level \"loud\": use debug, info, warn or error\n"},
	} {
		x := tool{result: c.err}
		if code := x.run(t, c.args...); code != c.code {
			t.Errorf("%s: exit %d, want %d; %s", c.name, code, c.code, x.stderr)
		}
		if diff := cmp.Diff(c.say, x.stderr); diff != "" {
			t.Errorf("%s: standard error (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestAWrongVariableIsAMisuseThatNamesIt(t *testing.T) {
	x := tool{env: map[string]string{"PITCREW_MANY_THINGS": "x"}}
	if code := x.run(t, "sub"); code != 2 || !strings.HasPrefix(x.stderr, `tool: error: PITCREW_MANY_THINGS="x": `) {
		t.Errorf("exit %d, %q, want 2 and the variable", code, x.stderr)
	}
	if code := x.run(t, "sub", "--many-things", "3"); code != 0 {
		t.Errorf("with the flag: exit %d, want 0: the variable does not count; %s", code, x.stderr)
	}
}

func TestErrorsDoNotSteerTheTerminal(t *testing.T) {
	x := tool{result: errors.New("entry \x1b]0;owned\a\u202e\x00 of a.tar\nsecond line")}
	x.run(t, "sub")
	if want := "tool: error: entry \ufffd]0;owned\ufffd\ufffd\ufffd of a.tar\nsecond line\n"; x.stderr != want {
		t.Errorf("standard error is %q, want %q", x.stderr, want)
	}
}

func TestTheLogFollowsTheFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"sub"}, ""},
		{[]string{"sub", "--log-level", "debug"}, `level=DEBUG msg="sub ran" many=1`},
		{[]string{"sub", "--log-level=debug", "--log-format=json"}, `"msg":"sub ran","many":1}`},
	} {
		x := tool{}
		if code := x.run(t, c.args...); code != 0 || !strings.Contains(x.stderr, c.want) || c.want == "" && x.stderr != "" {
			t.Errorf("%v: exit %d, log %q, want %q", c.args, code, x.stderr, c.want)
		}
	}
}

func TestACommandMayHaveLogFlagsOfItsOwn(t *testing.T) {
	x := tool{adapt: func(root, _ *cobra.Command) { root.PersistentFlags().String("log-level", "debug", "ours") }}
	if code := x.run(t, "sub"); code != 0 || !strings.Contains(x.stderr, "sub ran") {
		t.Errorf("exit %d, log %q, want the level of the command's own default", code, x.stderr)
	}
}

func TestVersion(t *testing.T) {
	x := tool{adapt: func(root, _ *cobra.Command) { root.Version = "1.2.3" }}
	if code := x.run(t, "--version"); code != 0 || x.stdout != "tool version 1.2.3\n" {
		t.Errorf("exit %d, %q, want the stamped version", code, x.stdout)
	}
	for _, unstamped := range []string{"", "dev"} {
		if got := cli.Version(unstamped); got == "" || got == "(devel)" {
			t.Errorf("Version(%q) = %q, want a version or dev", unstamped, got)
		}
	}
}
