package compile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/compile"
	"github.com/pitcrew-dev/pitcrew/builder/source/files"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("COMPILE_IN"); dir != "" { // the builder that a test kills
		hang(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

var host = v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}

// project is a compile in a cache folder of its own; script is run by sh, and what it leaves in out is the output.
func project(t testing.TB, cache, script string, list ...files.File) compile.Options {
	t.Helper()
	store, err := pack.Open(filepath.Join(cache, "packs"))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		list = []files.File{{Path: "/input", Content: []byte("x")}}
	}
	source := files.New(cache, files.Options{Files: list})
	return compile.Options{
		Name: "phases.code.build", Phase: builder.Code, Sources: []compile.Input{{Source: source, Origin: "files", Destination: "/"}},
		Command: []string{"sh", "-c", script}, Outputs: []compile.Output{{Path: "out", Destination: "/opt"}},
		Host: host, Jobs: 3, Store: store, CacheDir: cache, Created: time.Unix(7, 0),
	}
}

func tree(ctx context.Context, t *testing.T, o compile.Options) (builder.Tree, error) {
	t.Helper()
	r, err := compile.New(o).Resolve(ctx, host)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Tree(ctx)
	if left, _ := filepath.Glob(filepath.Join(o.CacheDir, "compile", "linux-*[^k]")); len(left) > 0 {
		t.Errorf("scratch folders are left: %v", left)
	}
	return got, err
}

// texts are the contents of a tree's files by path, and symlinks' targets behind an arrow.
func texts(t *testing.T, tree builder.Tree) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, e := range tree.Entries {
		switch e.Type {
		case builder.Symlink:
			out[e.Path] = "-> " + e.Link
		case builder.Regular:
			f, err := e.Content.Open()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			out[e.Path] = string(raw)
		}
	}
	return out
}

func TestACommandSeesItsSourcesAndNothingOfTheParentsEnvironment(t *testing.T) {
	t.Setenv("PARENT_SECRET", "hunter2")
	cache := t.TempDir()
	o := project(t, cache, `out=../../out && mkdir $out && env >$out/env && cat ../../input >$out/input && ls -A "$HOME" "$TMPDIR" >$out/ls &&
		cat && touch $out/eof && stat -c %Y ../../input >$out/time`)
	o.WorkingDir, o.Env = "deep/here", map[string]string{"CXX": "g++", "JOBS": "1"}
	got, err := tree(t.Context(), t, o)
	if err != nil {
		t.Fatal(err)
	}
	have := texts(t, got)
	scratch := filepath.Join(cache, "compile", strings.ReplaceAll(host.String(), "/", "-"))
	env := map[string]bool{}
	for line := range strings.Lines(have["opt/env"]) {
		env[strings.TrimSpace(line)] = true
	}
	for _, want := range []string{
		"PATH=" + compile.DefaultPath, "HOME=" + scratch + "/home", "TMPDIR=" + scratch + "/tmp", "LANG=C.UTF-8", "SOURCE_DATE_EPOCH=7",
		"TARGETPLATFORM=" + host.String(), "TARGETOS=linux", "TARGETARCH=" + host.Architecture, "CXX=g++", "JOBS=1", "PWD=" + filepath.Join(scratch, "work", o.WorkingDir),
	} {
		if !env[want] {
			t.Errorf("the environment lacks %s:\n%s", want, have["opt/env"])
		}
	}
	if strings.Contains(have["opt/env"], "PARENT_SECRET") || len(env) != 11 {
		t.Errorf("the environment has more than it should:\n%s", have["opt/env"])
	}
	if have["opt/input"] != "x" || have["opt/ls"] != scratch+"/home:\n\n"+scratch+"/tmp:\n" {
		t.Errorf("files: %v", have)
	}
	if _, ok := have["opt/eof"]; !ok {
		t.Error("standard input was not at its end")
	}
	if have["opt/time"] != "315532800\n" {
		t.Errorf("sources have the time %s, want 1980", have["opt/time"])
	}
}

func TestTheSameInputRunsOnceAndOtherInputAgain(t *testing.T) {
	cache := t.TempDir()
	runs := filepath.Join(cache, "runs")
	script := "echo >>" + runs + "; mkdir out; echo $X >out/x; chmod 755 out/x; ln out/x out/y"
	o := project(t, cache, script)
	count := func(what string, want int) {
		t.Helper()
		got, err := tree(t.Context(), t, o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if raw, _ := os.ReadFile(runs); len(raw) != want {
			t.Errorf("%s: the command ran %d times, want %d", what, len(raw), want)
		}
		if len(got.Entries) != 3 || got.Entries[1].Mode != 0o755 || got.Entries[2].Type != builder.Hardlink {
			t.Errorf("%s: entries = %+v", what, got.Entries)
		}
	}
	count("first", 1)
	count("again", 1)
	o.Jobs = 9
	count("more processors", 1)
	o.Env = map[string]string{"X": "1"}
	count("another variable", 2)
	o.Toolchain = [][]string{{"sh", "-c", "cat " + filepath.Join(cache, "version")}}
	if err := os.WriteFile(filepath.Join(cache, "version"), []byte("12"), 0o600); err != nil {
		t.Fatal(err)
	}
	count("a toolchain", 3)
	count("the same toolchain", 3)
	if err := os.WriteFile(filepath.Join(cache, "version"), []byte("13"), 0o600); err != nil {
		t.Fatal(err)
	}
	count("another toolchain", 4)
	o.Outputs[0].Destination = "/srv"
	count("another destination", 5)
	o.Sources = project(t, cache, "", files.File{Path: "/input", Content: []byte("y")}).Sources
	count("another source", 6)
}

func TestAFailingCommandIsShownWithTheEndOfItsLog(t *testing.T) {
	o := project(t, t.TempDir(), `i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo "line $i"; done; printf '\033[31merror: no kart\n' >&2; exit 7`)
	_, err := tree(t.Context(), t, o)
	if builder.KindOf(err) != builder.Input {
		t.Fatalf("Tree: %v, want an Input error", err)
	}
	for _, want := range []string{"phases.code.build for " + host.String(), `"sh"`, "exit status 7", "\nline 12\n", "line 40\n[31merror: no kart"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "line 11\n") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("the error has more than the last 30 lines, or control characters:\n%q", err)
	}
	logs, _ := filepath.Glob(filepath.Join(o.CacheDir, "compile", "logs", "code-*.log"))
	if len(logs) != 1 {
		t.Fatalf("logs = %v, want one", logs)
	}
	raw, rerr := os.ReadFile(logs[0])
	if rerr != nil || !strings.HasPrefix(string(raw), "line 1\n") {
		t.Errorf("the log is %.20q (%v), want everything", raw, rerr)
	}
	if hint := hintOf(err); !strings.Contains(hint, logs[0]) {
		t.Errorf("hint %q does not name the log", hint)
	}
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*builder.Error](err); ok {
		return e.HintText()
	}
	return ""
}

// fifo is opened for reading at once; its end is reached when every process that has it open for writing is gone.
func fifo(t *testing.T) (name string, started <-chan struct{}, gone func()) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "alive")
	mkfifo(t, name)
	first, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.Open(name)
		if err != nil {
			t.Error(err)
			close(first)
			return
		}
		defer f.Close()
		_, err = io.ReadFull(f, make([]byte, 1))
		if err != nil {
			t.Error("nobody wrote:", err)
		}
		close(first)
		_, _ = io.Copy(io.Discard, f) // the end is what counts
	}()
	t.Cleanup(func() { <-done })
	return name, first, func() { <-done }
}

func TestACancelledCommandEndsWithAllItStarted(t *testing.T) {
	for name, script := range map[string]string{
		"a group":                 `exec 3>%s; sleep 1000 & sleep 1000 & echo . >&3; wait`,
		"one that ignores TERM":   `exec 3>%s; trap "" TERM; (sleep 1000; sleep 1000) & echo . >&3; sleep 1000; sleep 1000`,
		"one that left its group": `exec 3>%s; setsid sh -c 'sleep 1000; sleep 1000' & echo . >&3; wait`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alive, _, gone := fifo(t)
			o := project(t, t.TempDir(), fmt.Sprintf(script, alive)+"; mkdir out")
			o.Timeout = 500 * time.Millisecond
			_, err := tree(t.Context(), t, o)
			if builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "did not end within 500ms") {
				t.Errorf("Tree: %v, want an Input error about the timeout", err)
			}
			gone()
		})
	}
}

func TestACancelledContextIsNotACommandsFault(t *testing.T) {
	alive, started, gone := fifo(t)
	o := project(t, t.TempDir(), "exec 3>"+alive+"; echo . >&3; sleep 1000; sleep 1000")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	if _, err := tree(ctx, t, o); builder.KindOf(err) == builder.Input || !errors.Is(err, context.Canceled) {
		t.Errorf("Tree: %v, want the context's error", err)
	}
	gone()
}

func TestACommandsLeftoversDoNotOutliveIt(t *testing.T) {
	alive, _, gone := fifo(t)
	o := project(t, t.TempDir(), "exec 3>"+alive+"; setsid sleep 1000 & sleep 1000 & echo . >&3; mkdir out; touch out/x")
	if _, err := tree(t.Context(), t, o); err != nil {
		t.Fatal(err)
	}
	gone()
}
