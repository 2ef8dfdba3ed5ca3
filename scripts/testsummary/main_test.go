package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goTest runs the tests of a module with these files and returns what the go command says.
func goTest(t *testing.T, sources map[string]string) *bytes.Buffer {
	t.Helper()
	dir := t.TempDir()
	sources["go.mod"] = "module example.test\n\ngo 1.26\n"
	for name, text := range sources {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "-p=1", "-vet=off", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, _ := cmd.Output() // it fails when a test does
	return bytes.NewBuffer(out)
}

const good = `package good
import "testing"
func TestA(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Log("not shown") }) }
`

const bad = `package bad
import "testing"
func TestB(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Error("got 1, want 2") }) }
`

const skips = `package skips
import "testing"
func TestC(t *testing.T) { t.Skip("needs a kernel: run as root") }
`

const unbuilt = `package unbuilt
import "testing"
func TestD(t *testing.T) { undefinedName() }
`

const exits = `package exits
import ("fmt"; "os"; "testing")
func TestMain(m *testing.M) { m.Run(); fmt.Println("a goroutine leaked"); os.Exit(1) }
func TestE(t *testing.T) {}
`

func TestTotalsAndVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		sources map[string]string
		allow   string
		totals  string
		fails   string
		says    []string
		not     string
	}{
		"all is well": {
			sources: map[string]string{"good/a_test.go": good, "none/none.go": "package none"},
			totals:  "2 passed, 0 failed, 0 skipped", says: []string{"ok    example.test/good"}, not: "not shown",
		},
		"a test fails": {
			sources: map[string]string{"good/a_test.go": good, "bad/b_test.go": bad},
			totals:  "2 passed, 2 failed, 0 skipped", fails: "2 failed",
			says: []string{"FAIL  example.test/bad", "FAIL  example.test/bad.TestB/sub", "got 1, want 2"},
		},
		"a package does not build": {
			sources: map[string]string{"good/a_test.go": good, "unbuilt/d_test.go": unbuilt},
			totals:  "2 passed, 1 failed, 0 skipped", fails: "1 failed", says: []string{"undefined: undefinedName"},
		},
		"TestMain fails": {
			sources: map[string]string{"exits/e_test.go": exits},
			totals:  "1 passed, 1 failed, 0 skipped", fails: "1 failed", says: []string{"a goroutine leaked"},
		},
		"nothing runs": {
			sources: map[string]string{"none/none.go": "package none"},
			totals:  "0 passed, 0 failed, 0 skipped", fails: "no test ran",
		},
		"a skip with an allowed reason": {
			sources: map[string]string{"good/a_test.go": good, "skips/c_test.go": skips}, allow: "# why\n\n^needs a kernel\n",
			totals: "2 passed, 0 failed, 1 skipped", says: []string{"skip  example.test/skips.TestC: needs a kernel: run as root\n"},
		},
		"a skip with another reason": {
			sources: map[string]string{"good/a_test.go": good, "skips/c_test.go": skips}, allow: "# needs a kernel\nneeds the moon\n",
			totals: "2 passed, 0 failed, 1 skipped", fails: "not allowed: needs a kernel: run as root",
			says: []string{"SKIP, which the allow-list does not have: example.test/skips.TestC"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			totals, args := filepath.Join(dir, "totals"), []string{"-totals", filepath.Join(dir, "totals")}
			if c.allow != "" {
				list := filepath.Join(dir, "allow")
				if err := os.WriteFile(list, []byte(c.allow), 0o644); err != nil {
					t.Fatal(err)
				}
				args = append(args, "-allow", list)
			}
			var out strings.Builder
			err := run(args, goTest(t, c.sources), &out)
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("run = %v, want %q", err, c.fails)
			}
			if !strings.HasSuffix(out.String(), "\n"+c.totals+"\n") {
				t.Errorf("the last line is not %q:\n%s", c.totals, out.String())
			}
			for _, want := range c.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in:\n%s", want, out.String())
				}
			}
			if c.not != "" && strings.Contains(out.String(), c.not) {
				t.Errorf("%q is in:\n%s", c.not, out.String())
			}
			kept, err := os.ReadFile(totals)
			if diff := cmp.Diff(c.totals+"\n", string(kept)); err != nil || diff != "" {
				t.Errorf("totals file: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestWithoutAnAllowListAnyReasonIsGood(t *testing.T) {
	var out strings.Builder
	events := `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p","Test":"TestB"}
`
	if err := run(nil, strings.NewReader(events), &out); err != nil {
		t.Errorf("run = %v, want nil", err)
	}
}

func TestABadAllowListIsAnError(t *testing.T) {
	list := filepath.Join(t.TempDir(), "allow")
	if err := os.WriteFile(list, []byte("(\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{list, list + "-missing"} {
		if err := run([]string{"-allow", file}, strings.NewReader(""), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "allow-list") {
			t.Errorf("run with %s = %v, want an error about the allow-list", file, err)
		}
	}
}
