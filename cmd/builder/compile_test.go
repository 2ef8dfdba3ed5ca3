package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pitcrew-dev/pitcrew/builder/build"
)

const compilePipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: greet}
platforms: [linux/amd64, linux/arm64]
repository: greet
tags: ["1"]
phases:
  code:
    build:
      sources: [{dir: {path: src}}]
      command: [%s]
      env: {CXX: g++}
      outputs: [{path: out, destination: /usr/bin, include: [greet]}]
      toolchain: [[g++, --version]]
      perPlatform:
%s
  server:
    sources: [{files: [{path: /etc/greet.conf, content: x}]}]
    config: {entrypoint: [/usr/bin/greet]}
`

const cross = `        linux/arm64: {cross: true, env: {CXX: aarch64-linux-gnu-g++}, toolchain: [[aarch64-linux-gnu-g++, --version]]}
        linux/amd64: {cross: true, env: {CXX: x86_64-linux-gnu-g++}, toolchain: [[x86_64-linux-gnu-g++, --version]]}`

// compiled is a small C++ project whose compiles are counted.
func compiled(t *testing.T, command, platforms string) (dir string, runs func() int) {
	t.Helper()
	for _, tool := range []string{"make", "g++", "aarch64-linux-gnu-g++"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: %v", tool, err)
		}
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the cross toolchain of this test is amd64's")
	}
	dir = t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "src"), os.DirFS("testdata/compile/src")); err != nil {
		t.Fatal(err)
	}
	counter := filepath.Join(t.TempDir(), "runs")
	if command == "" {
		command = `sh, -c, "echo run >>` + counter + ` && make"`
	}
	write(t, dir, "pipeline.yaml", fmt.Sprintf(compilePipeline, command, platforms))
	return dir, func() int {
		raw, err := os.ReadFile(counter)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return bytes.Count(raw, []byte("\n"))
	}
}

// says runs the program of an image.
func says(t *testing.T, layoutDir, platform string) string {
	t.Helper()
	l, img := loaded(t, layoutDir, "1")
	for _, p := range img.Platforms {
		if p.Platform.String() != platform {
			continue
		}
		root := t.TempDir()
		for _, y := range p.Layers {
			apply(t, l, y.Descriptor, root)
		}
		if _, err := os.Stat(filepath.Join(root, "usr/bin/share")); err == nil {
			t.Error("what outputs do not include is in the image")
		}
		args := []string{filepath.Join(root, "usr/bin/greet")}
		if p.Platform.Architecture != runtime.GOARCH {
			args = append([]string{"qemu-aarch64-static"}, args...)
		}
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	t.Fatalf("no image for %s", platform)
	return ""
}

func TestCodeIsCompiledForBothPlatformsAndOnlyOnce(t *testing.T) {
	dir, runs := compiled(t, "", cross)
	out := filepath.Join(t.TempDir(), "out.oci")
	first := mustBuild(t, dir, "--layout", out)
	if got := says(t, out, "linux/amd64"); got != "hello from amd64" {
		t.Errorf("amd64 says %q", got)
	}
	if got := says(t, out, "linux/arm64"); got != "hello from arm64" {
		t.Errorf("arm64 says %q", got)
	}
	if runs() != 2 {
		t.Errorf("%d compiles for two platforms", runs())
	}
	if again := mustBuild(t, dir, "--layout", out); again.Digest != first.Digest || runs() != 2 {
		t.Errorf("nothing changed: %s after %s, %d compiles more", again.Digest, first.Digest, runs()-2)
	}
	// On another machine the registry is the cache.
	removeAll(t, filepath.Join(dir, ".cache"))
	if again := mustBuild(t, dir, "--layout", out); again.Digest != first.Digest || runs() != 2 {
		t.Errorf("on another machine: %s after %s, %d compiles more", again.Digest, first.Digest, runs()-2)
	}
	write(t, dir, "src/greeting.h", "#define GREETING \"good day\"\n")
	mustBuild(t, dir, "--layout", out)
	if got := says(t, out, "linux/arm64"); got != "good day from arm64" || runs() != 4 {
		t.Errorf("after an edit arm64 says %q, with %d compiles", got, runs()-2)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".cache", "compile", "*", "work"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// The command sees a clean environment.
func TestACommandSeesOnlyWhatItIsTold(t *testing.T) {
	t.Setenv("SECRET_TOKEN", "do not leak")
	dir, _ := compiled(t, `sh, -c, "mkdir out && env | sort >out/greet && pwd >>out/greet && ! read -r line"`, cross)
	out := filepath.Join(t.TempDir(), "out.oci")
	mustBuild(t, dir, "--layout", out, "--platform", "linux/arm64")
	l, img := loaded(t, out, "1")
	root := t.TempDir()
	for _, y := range img.Platforms[0].Layers {
		apply(t, l, y.Descriptor, root)
	}
	raw, err := os.ReadFile(filepath.Join(root, "usr/bin/greet"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		if name, _, ok := strings.Cut(line, "="); ok {
			names[name] = true
		}
	}
	for _, want := range []string{"PATH", "HOME", "TMPDIR", "LANG", "SOURCE_DATE_EPOCH", "TARGETPLATFORM", "TARGETOS", "TARGETARCH", "JOBS", "CXX", "PWD"} {
		if !names[want] {
			t.Errorf("it lacks %s", want)
		}
		delete(names, want)
	}
	delete(names, "SHLVL")
	delete(names, "_")
	delete(names, "OLDPWD")
	if len(names) > 0 || !strings.Contains(string(raw), "TARGETPLATFORM=linux/arm64\n") {
		t.Errorf("it sees %v besides\n%s", names, raw)
	}
}

func TestCompilesThatFailSayWhy(t *testing.T) {
	for name, c := range map[string]struct {
		command string
		want    []string
	}{
		"a compile error":          {`sh, -c, "echo first; echo 'main.cpp:3: oh no' >&2; exit 7"`, []string{"exit status 7", "main.cpp:3: oh no", ".log"}},
		"no output":                {`"true"`, []string{"left nothing at out"}},
		"no such program":          {`no-such-program`, []string{"no-such-program", "is not in /usr/local"}},
		"an output that is a link": {`sh, -c, "ln -s /etc out"`, []string{"out is a symlink"}},
		"a link that leads out":    {`sh, -c, "mkdir out; ln -s /etc/passwd out/greet"`, []string{"leads out of the output"}},
		"a device":                 {`sh, -c, "mkdir out; mkfifo out/greet"`, []string{"greet"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := compiled(t, c.command, cross)
			code, stderr := builderRun(t, nil, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--layout", filepath.Join(t.TempDir(), "x.oci"))
			if code != 3 {
				t.Errorf("exit %d, want 3\n%s", code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("the message lacks %q\n%s", want, stderr)
				}
			}
		})
	}
}

// Ctrl-C ends the command with all that it started.
func TestACompileThatHangsIsEnded(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "started")
	shell(t, filepath.Dir(fifo), "mkfifo started")
	dir, _ := compiled(t, `sh, -c, "(trap '' TERM; echo in >`+fifo+`; exec sleep 1000) & wait"`, cross)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.ReadFile(fifo) // until the command has started
		cancel()
	}()
	var out, errs bytes.Buffer
	code := run(ctx, []string{"build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--layout", filepath.Join(t.TempDir(), "x.oci")},
		func(string) string { return "" }, &out, &errs)
	if code == 0 {
		t.Fatal("the build came to an end")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".cache", "compile", "*", "work"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	procs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if env, err := os.ReadFile(p); err == nil && bytes.Contains(env, []byte(filepath.Join(dir, ".cache"))) {
			t.Errorf("%s still runs", p)
		}
	}
}

// Each runner makes its own platform; whoever composes makes none.
func TestPlatformsBuiltOnDifferentMachinesAreComposed(t *testing.T) {
	dir, runs := compiled(t, "", cross)
	server := realRegistry(t, nil)
	file := filepath.Join(dir, "pipeline.yaml")
	whole := mustBuild(t, dir, "--registry", server+"/whole", "--plain-http")
	composeIt := func(cache string) (build.Result, int, string) {
		var res build.Result
		code, stderr := builderRun(t, &res, "compose", "-f", file, "--cache-dir", filepath.Join(dir, cache), "--registry", server+"/split", "--plain-http")
		return res, code, stderr
	}
	for i, platform := range []string{"linux/amd64", "linux/arm64"} {
		if _, code, stderr := composeIt(fmt.Sprint(".early", i)); code != 3 || !strings.Contains(stderr, "--platform "+platform) {
			t.Errorf("before %s is there: exit %d\n%s", platform, code, stderr)
		}
		before := runs()
		var res build.Result
		code, stderr := builderRun(t, &res, "build", "-f", file, "--cache-dir", filepath.Join(dir, ".runner"+platform[6:]), "--registry", server+"/split", "--plain-http", "--phase", "code", "--platform", platform)
		if code != 0 || runs() != before+1 {
			t.Fatalf("build for %s: exit %d, %d compiles\n%s", platform, code, runs()-before, stderr)
		}
	}
	mustBuild(t, dir, "--registry", server+"/split", "--plain-http", "--phase", "server")
	before := runs()
	// Nobody's toolchain counts where nothing is compiled: here it is another one.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "pipeline.yaml", strings.ReplaceAll(string(text), "g++, --version", "g++, -dumpversion"))
	res, code, stderr := composeIt(".composer")
	if code != 0 || res.Digest != whole.Digest || runs() != before {
		t.Errorf("compose: exit %d, %s with %d compiles, want %s and none\n%s", code, res.Digest, runs()-before, whole.Digest, stderr)
	}
}

func TestAForeignPlatformWithoutACrossToolchainSaysWhereToBuildIt(t *testing.T) {
	dir, _ := compiled(t, "", "        linux/amd64: {env: {CXX: g++}}")
	code, stderr := builderRun(t, nil, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--layout", filepath.Join(t.TempDir(), "x.oci"))
	if code != 3 || !strings.Contains(stderr, "no cross toolchain for linux/arm64") || !strings.Contains(stderr, "--phase code --platform linux/arm64") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}
