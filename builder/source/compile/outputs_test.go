package compile_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/compile"
	"github.com/pitcrew-dev/pitcrew/builder/source/files"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
)

func mkfifo(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOutputsThatCannotBePartOfAnImageAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"nothing":                     {"true", "the command left nothing at out"},
		"a link out":                  {"ln -s /etc out", "out is a symlink"},
		"a link to the scratch":       {"mkdir real; ln -s real out", "out is a symlink"},
		"a FIFO":                      {"mkfifo out", "neither a file nor a folder"},
		"a FIFO inside":               {"mkdir out; mkfifo out/f", `"f" (FIFO)`},
		"a device":                    {"mkdir out; mknod out/null c 1 3 || mkfifo out/null", `"null" (`},
		"an absolute link inside":     {"mkdir out; ln -s /etc/passwd out/p", "leads out of the output"},
		"a link that climbs":          {"mkdir out; ln -s ../input out/p", "leads out of the output"},
		"a link to the scratch by /.": {`mkdir out; ln -s "$PWD/input" out/p`, "leads out of the output"},
		"an unknown program":          {"no-such-compiler", "exit status 127"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tree(t.Context(), t, project(t, t.TempDir(), c.script))
			if builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Tree: %v, want an Input error with %q", err, c.want)
			}
		})
	}
}

func TestTheWayToAnOutputIsNoLinkEither(t *testing.T) {
	o := project(t, t.TempDir(), "ln -s /etc build")
	o.Outputs = []compile.Output{{Path: "build/passwd"}}
	if _, err := tree(t.Context(), t, o); builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "build is a symlink") {
		t.Errorf("Tree: %v", err)
	}
}

func TestTooMuchOutputIsRefused(t *testing.T) {
	o := project(t, t.TempDir(), "mkdir out; truncate -s 2000 out/big; touch out/a out/b")
	o.Limits = pack.Limits{MaxSize: 1000}
	if _, err := tree(t.Context(), t, o); builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "more than 1000 bytes") {
		t.Errorf("Tree: %v", err)
	}
	o.Limits = pack.Limits{MaxEntries: 3}
	if _, err := tree(t.Context(), t, o); builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "more than 3 entries") {
		t.Errorf("Tree: %v", err)
	}
}

func TestOutputsAreSelectedPlacedAndNormalised(t *testing.T) {
	o := project(t, t.TempDir(), `umask 077; mkdir -p out/sub single; echo a >out/a.so; echo d >out/a.debug; mkfifo out/skip.debug
		ln -s ../a.so out/sub/l; echo f >single/file; chmod 700 single/file; chmod 500 out/sub`)
	o.Outputs = []compile.Output{
		{Path: "out", Destination: "/opt/lib", Exclude: []string{"*.debug"}},
		{Path: "single/file", Destination: "/usr/bin"},
	}
	got, err := tree(t.Context(), t, o)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"opt/lib/a.so": "a\n", "opt/lib/sub/l": "-> ../a.so", "usr/bin/file": "f\n"}
	if diff := cmp.Diff(want, texts(t, got)); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	for _, e := range got.Entries {
		mode := uint32(0o755)
		switch {
		case e.Type == builder.Symlink:
			mode = 0o777
		case strings.HasSuffix(e.Path, ".so"):
			mode = 0o644
		}
		if e.Mode != mode || e.UID != 0 || e.GID != 0 {
			t.Errorf("%s has mode %o and owner %d:%d", e.Path, e.Mode, e.UID, e.GID)
		}
	}
}

func TestAnAbsoluteLinkOfASourceLeadsIntoThatSource(t *testing.T) {
	cache := t.TempDir()
	o := project(t, cache, "mkdir out; cat sysroot/usr/lib/libm.so >out/m; readlink sysroot/usr/lib/libm.so >out/l")
	o.Sources[0].Source = files.New(cache, files.Options{Files: []files.File{
		{Path: "/lib/libm.so.6", Content: []byte("math")}, {Path: "/usr/lib/libm.so", Link: "/lib/libm.so.6"},
	}})
	o.Sources[0].Destination = "/sysroot"
	got, err := tree(t.Context(), t, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"opt/m": "math", "opt/l": "../../lib/libm.so.6\n"}, texts(t, got)); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}

func TestOutputsThatHoldTheScratchFoldersPathAreNamed(t *testing.T) {
	var log bytes.Buffer
	// The path lies across the borders of what is read at a time.
	o := project(t, t.TempDir(), `mkdir out; for n in 131060 262130 5; do head -c $n /dev/zero >out/f$n; printf %s "$PWD" >>out/f$n; done; echo clean >out/clean`)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	if _, err := tree(t.Context(), t, o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), `files="[opt/f131060 opt/f262130 opt/f5]" count=3`) {
		t.Errorf("log:\n%s", log.String())
	}
}

func TestAPlatformThatThisMachineCannotMakeIsAClearError(t *testing.T) {
	other := v1.Platform{OS: "linux", Architecture: "riscv64"}
	o := project(t, t.TempDir(), "mkdir out")
	o.Toolchain = [][]string{{"no-such-compiler"}} // not asked: it would say nothing of the machine that has it
	r, err := compile.New(o).Resolve(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Tree(t.Context())
	if builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "has no cross toolchain for linux/riscv64") {
		t.Errorf("Tree: %v", err)
	}
	if hint := hintOf(err); !strings.Contains(hint, "builder build --phase code --platform linux/riscv64") || !strings.Contains(hint, "builder compose") {
		t.Errorf("hint: %q", hint)
	}
	o.Toolchain, o.Cross = nil, true
	if r, err = compile.New(o).Resolve(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Tree(t.Context()); err != nil {
		t.Errorf("with a cross toolchain: %v", err)
	}
}

func TestAToolchainThatIsNotThereIsNamed(t *testing.T) {
	o := project(t, t.TempDir(), "mkdir out")
	for _, command := range [][]string{{"no-such-compiler"}, {"sh", "-c", "echo broken; exit 3"}, {"sh", "-c", "yes | head -c 2000000"}} {
		o.Toolchain = [][]string{command}
		_, err := tree(t.Context(), t, o)
		if builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), command[0]) {
			t.Errorf("%v: %v", command, err)
		}
	}
}

func TestLogsAreForgottenInTime(t *testing.T) {
	cache := t.TempDir()
	logs := filepath.Join(cache, "compile", "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 80 {
		if err := os.WriteFile(filepath.Join(logs, strings.Repeat("x", i+1)+".log"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tree(t.Context(), t, project(t, cache, "mkdir out")); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(logs); len(left) != 50 {
		t.Errorf("%d logs are kept, want 50", len(left))
	}
}
