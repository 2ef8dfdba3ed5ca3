package files_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/files"
)

var _ builder.Source = (*files.Source)(nil)

func hash(_ context.Context, entries iter.Seq[*builder.Entry]) error {
	for e := range entries {
		content, err := read(e.Content)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		e.SHA256 = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
		if r, ok := e.Content.(builder.Rememberer); ok {
			r.Remember(e.SHA256)
		}
	}
	return nil
}

func read(c builder.Content) ([]byte, error) {
	r, err := c.Open()
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

func resolve(dir string, list ...files.File) (builder.Resolved, error) {
	return files.New(dir, files.Options{Files: list, Hash: hash}).Resolve(context.Background(), v1.Platform{})
}

func mustResolve(t *testing.T, dir string, list ...files.File) builder.Resolved {
	t.Helper()
	r, err := resolve(dir, list...)
	if err != nil {
		t.Fatalf("Resolve: %v", err)
	}
	return r
}

func digestOf(t *testing.T, r builder.Resolved) v1.Hash {
	t.Helper()
	digest, err := r.InputDigest(t.Context())
	if err != nil {
		t.Fatalf("InputDigest: %v", err)
	}
	return digest
}

func entriesOf(t *testing.T, r builder.Resolved) []builder.Entry {
	t.Helper()
	tree, err := r.Tree(t.Context())
	if err != nil {
		t.Fatalf("Tree: %v", err)
	}
	return tree.Entries
}

// repository is a pipeline's folder with some files in it, in a folder that holds a secret.
func repository(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "repo")
	for name, content := range map[string]string{"secret": "s", "repo/rootfs/config.xml": "<x/>", "repo/rootfs/run.sh": "#!"} {
		name := filepath.Join(base, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.Chmod(filepath.Join(dir, "rootfs/run.sh"), 0o700),
		os.Symlink("rootfs/config.xml", filepath.Join(dir, "inside")),
		os.Symlink("../secret", filepath.Join(dir, "outside")),
		os.Symlink("..", filepath.Join(dir, "up")),
		syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

func wantError(t *testing.T, err error, kind builder.Kind, names ...string) {
	t.Helper()
	if err == nil || builder.KindOf(err) != kind {
		t.Fatalf("error is %v of kind %d, want kind %d", err, builder.KindOf(err), kind)
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %q does not name %s", err, name)
		}
	}
}

func TestTreeHoldsTheListedPaths(t *testing.T) {
	r := mustResolve(t, repository(t),
		files.File{Path: "/tmp", Dir: true, Mode: 0o1777},
		files.File{Path: "/var/lib/stk", Dir: true},
		files.File{Path: "etc/motd", Content: []byte("hello")},
		files.File{Path: "etc/empty", Content: []byte{}, Mode: 0o600},
		files.File{Path: "/etc/config.xml", From: "rootfs/config.xml"},
		files.File{Path: "/etc/again.xml", From: "./inside"},
		files.File{Path: "/bin/run", From: "rootfs/run.sh"},
		files.File{Path: "/bin/suid", From: "rootfs/run.sh", Mode: 0o4755},
		files.File{Path: "/bin/sh", Link: "/usr/bin/sh"},
	)
	digestOf(t, r)
	var got []string
	for _, e := range entriesOf(t, r) {
		line := fmt.Sprintf("%d %o %s", e.Type, e.Mode, e.Path)
		if e.Link != "" {
			line += " to " + e.Link
		}
		if e.Content != nil {
			content, err := read(e.Content)
			if err != nil || e.Size != int64(len(content)) || e.SHA256.Hex != fmt.Sprintf("%x", sha256.Sum256(content)) {
				t.Errorf("%s: content %q, size %d, SHA256 %v, %v", e.Path, content, e.Size, e.SHA256, err)
			}
			line += " = " + string(content)
		}
		got = append(got, line)
	}
	want := []string{
		"2 755 bin/run = #!",
		"3 777 bin/sh to /usr/bin/sh",
		"2 4755 bin/suid = #!",
		"2 644 etc/again.xml = <x/>",
		"2 644 etc/config.xml = <x/>",
		"2 600 etc/empty = ",
		"2 644 etc/motd = hello",
		"1 1777 tmp",
		"1 755 var/lib/stk",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Tree (-want +got):\n%s", diff)
	}
}

func TestInputDigestIsThatOfTheContentWhereverItComesFrom(t *testing.T) {
	one := mustResolve(t, repository(t),
		files.File{Path: "/a", From: "rootfs/config.xml"}, files.File{Path: "/b", Dir: true})
	two := mustResolve(t, t.TempDir(),
		files.File{Path: "b", Dir: true, Mode: 0o755}, files.File{Path: "a", Content: []byte("<x/>")})
	if a, b := digestOf(t, one), digestOf(t, two); a != b {
		t.Errorf("InputDigest = %v and %v, want the same", a, b)
	}
	other := mustResolve(t, t.TempDir(),
		files.File{Path: "b", Dir: true, Mode: 0o700}, files.File{Path: "a", Content: []byte("<x/>")})
	if a, b := digestOf(t, one), digestOf(t, other); a == b {
		t.Error("InputDigest does not depend on the mode")
	}
}

func TestAFileThatIsNotThereOrLeadsOutsideIsAnInputError(t *testing.T) {
	dir := repository(t)
	for _, from := range []string{"missing", "outside", "up/secret", "rootfs", "fifo", "rootfs/run.sh/x"} {
		t.Run(from, func(t *testing.T) {
			_, err := resolve(dir, files.File{Path: "x", From: from})
			wantError(t, err, builder.Input, fmt.Sprintf("%q", from))
		})
	}
	t.Run("all are named", func(t *testing.T) {
		_, err := resolve(dir, files.File{Path: "x", From: "missing"}, files.File{Path: "y", From: "outside"})
		wantError(t, err, builder.Input, `"missing"`, `"outside"`)
	})
}

func TestAFileThatChangesDuringTheBuildIsNoticed(t *testing.T) {
	dir := repository(t)
	r := mustResolve(t, dir, files.File{Path: "x", From: "rootfs/config.xml"})
	if err := os.WriteFile(filepath.Join(dir, "rootfs/config.xml"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.InputDigest(t.Context()); !errors.Is(err, builder.ErrChanged) {
		t.Errorf("InputDigest = %v, want an error that matches ErrChanged", err)
	}
}

func TestAWrongListIsAConfigErrorThatNamesAllFaults(t *testing.T) {
	content := []byte("x")
	for name, file := range map[string]files.File{
		"no path":                  {Content: content},
		"the root":                 {Path: "/", Dir: true},
		"the root, as a dot":       {Path: ".", Dir: true},
		"two slashes":              {Path: "//etc", Dir: true},
		"a trailing slash":         {Path: "etc/", Dir: true},
		"a path that climbs":       {Path: "/../etc", Content: content},
		"a path that climbs later": {Path: "etc/../../x", Content: content},
		"NUL in the path":          {Path: "a\x00b", Content: content},
		"nothing to put there":     {Path: "a"},
		"two things to put there":  {Path: "a", Content: content, From: "b"},
		"a folder with a target":   {Path: "a", Dir: true, Link: "b"},
		"from climbs":              {Path: "a", From: "../secret"},
		"from is absolute":         {Path: "a", From: "/etc/passwd"},
		"from is the folder":       {Path: "a", From: "."},
		"a mode with a file type":  {Path: "a", Content: content, Mode: 0o100644},
		"a symlink with a mode":    {Path: "a", Link: "b", Mode: 0o777},
		"NUL in the target":        {Path: "a", Link: "b\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := resolve(repository(t), file)
			wantError(t, err, builder.Config, fmt.Sprintf("%q", file.Path))
		})
	}
	t.Run("several", func(t *testing.T) {
		_, err := resolve(t.TempDir(),
			files.File{Path: "/a", Dir: true}, files.File{Path: "a", Dir: true}, files.File{Path: "b"})
		wantError(t, err, builder.Config, `"a": it is listed twice`, `"b": exactly one of`)
	})
}

func TestACancelledResolveStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := files.New(".", files.Options{}).Resolve(ctx, v1.Platform{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Resolve = %v, want %v", err, context.Canceled)
	}
}
