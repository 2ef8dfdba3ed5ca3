package dir_test

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
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
	"github.com/pitcrew-dev/pitcrew/builder/source/dir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ builder.Source = (*dir.Source)(nil)

// hasher hashes files one after the other, and keeps count.
type hasher struct{ hashed []string }

func (h *hasher) hash(_ context.Context, files iter.Seq[*builder.Entry]) error {
	for e := range files {
		content, err := read(e.Content)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		e.SHA256 = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
		e.Content.(builder.Rememberer).Remember(e.SHA256)
		h.hashed = append(h.hashed, e.Path)
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

// make fills root: a name that ends in "/" is a folder, "-> x" makes a symlink, "=> x" a hard link.
func fill(t testing.TB, root string, files ...[2]string) {
	t.Helper()
	for _, f := range files {
		name := filepath.Join(root, f[0])
		err := os.MkdirAll(filepath.Dir(name), 0o777)
		switch {
		case strings.HasSuffix(f[0], "/"):
			err = errors.Join(err, os.MkdirAll(name, 0o777))
		case strings.HasPrefix(f[1], "-> "):
			err = errors.Join(err, os.Symlink(f[1][3:], name))
		case strings.HasPrefix(f[1], "=> "):
			err = errors.Join(err, os.Link(filepath.Join(root, f[1][3:]), name))
		default:
			err = errors.Join(err, os.WriteFile(name, []byte(f[1]), 0o666))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func resolve(root string, o dir.Options) (builder.Resolved, error) {
	if o.Hash == nil {
		o.Hash = new(hasher).hash
	}
	return dir.New(root, o).Resolve(context.Background(), v1.Platform{})
}

func mustResolve(t testing.TB, root string, o dir.Options) builder.Resolved {
	t.Helper()
	r, err := resolve(root, o)
	if err != nil {
		t.Fatalf("Resolve: %v", err)
	}
	return r
}

func treeOf(t testing.TB, r builder.Resolved) builder.Tree {
	t.Helper()
	tree, err := r.Tree(t.Context())
	if err != nil {
		t.Fatalf("Tree: %v", err)
	}
	return tree
}

func digestOf(t testing.TB, r builder.Resolved) v1.Hash {
	t.Helper()
	digest, err := r.InputDigest(t.Context())
	if err != nil {
		t.Fatalf("InputDigest: %v", err)
	}
	return digest
}

// list renders a tree, one entry a line.
func list(tree builder.Tree) []string {
	var lines []string
	for _, e := range tree.Entries {
		line := fmt.Sprintf("%s %o %d:%d %q", [...]string{"?", "dir", "file", "symlink", "hardlink"}[e.Type], e.Mode, e.UID, e.GID, e.Path)
		if e.Type == builder.Regular {
			line += fmt.Sprintf(" %d bytes", e.Size)
		}
		if e.Link != "" {
			line += fmt.Sprintf(" to %q", e.Link)
		}
		if (e.Content != nil) != (e.Type == builder.Regular) {
			line += " with content where none belongs, or without"
		}
		lines = append(lines, line)
	}
	return lines
}

// wantError checks an error's kind and that it names what it must.
func wantError(t *testing.T, err error, kind builder.Kind, names ...string) {
	t.Helper()
	if builder.KindOf(err) != kind || err == nil {
		t.Fatalf("error is %v of kind %d, want kind %d", err, builder.KindOf(err), kind)
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %q does not name %s", err, name)
		}
	}
	if e, _ := errors.AsType[*builder.Error](err); e.Hint == "" {
		t.Errorf("error %q has no hint", err)
	}
}

func TestTreeHoldsEverythingNormalisedAndInByteOrder(t *testing.T) {
	root := t.TempDir()
	fill(t, root,
		[2]string{"b/file", "content"},
		[2]string{"b-", ""},
		[2]string{"b/run", "#!"},
		[2]string{"b/suid", "#!"},
		[2]string{"b/link", "-> ../../up"},
		[2]string{"a/second", "=> b/file"},
		[2]string{"z", "=> b/file"},
		[2]string{"empty/", ""},
		[2]string{"bad\xff\nname", "x"},
	)
	for name, mode := range map[string]os.FileMode{
		"b/run": 0o611, "b/suid": 0o700 | os.ModeSetuid, "b": 0o700 | os.ModeSticky, "z": 0o600, "b-": 0o444,
	} {
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	r := mustResolve(t, root, dir.Options{})
	want := []string{
		`dir 755 0:0 "a"`,
		`file 644 0:0 "a/second" 7 bytes`,
		`dir 755 0:0 "b"`,
		`file 644 0:0 "b-" 0 bytes`,
		`hardlink 644 0:0 "b/file" to "a/second"`,
		`symlink 777 0:0 "b/link" to "../../up"`,
		`file 755 0:0 "b/run" 2 bytes`,
		`file 755 0:0 "b/suid" 2 bytes`,
		`file 644 0:0 "bad\xff\nname" 1 bytes`,
		`dir 755 0:0 "empty"`,
		`hardlink 644 0:0 "z" to "a/second"`,
	}
	if diff := cmp.Diff(want, list(treeOf(t, r))); diff != "" {
		t.Errorf("Tree (-want +got):\n%s", diff)
	}
	if r.Pending() != 0 || r.Pins() != nil {
		t.Errorf("Pending() = %d, Pins() = %v, want nothing", r.Pending(), r.Pins())
	}
}

func TestAnEmptyFolderIsAnEmptyTree(t *testing.T) {
	r := mustResolve(t, t.TempDir(), dir.Options{})
	if tree := treeOf(t, r); len(tree.Entries) != 0 {
		t.Errorf("Tree = %v, want no entries", list(tree))
	}
	digestOf(t, r)
}

func TestTreeCarriesTheDigestsThatInputDigestComputed(t *testing.T) {
	root := t.TempDir()
	fill(t, root, [2]string{"a", "1"}, [2]string{"b", "=> a"}, [2]string{"c", "2"})
	var h hasher
	r := mustResolve(t, root, dir.Options{Hash: h.hash})
	if len(h.hashed) != 0 {
		t.Errorf("Resolve read %q, want nothing read", h.hashed)
	}
	digest := digestOf(t, r)
	if again := digestOf(t, r); again != digest {
		t.Errorf("InputDigest changed from %v to %v", digest, again)
	}
	if diff := cmp.Diff([]string{"a", "c"}, h.hashed); diff != "" {
		t.Errorf("hashed files, each once (-want +got):\n%s", diff)
	}
	for e := range treeOf(t, r).Files() {
		content, err := read(e.Content)
		if want := fmt.Sprintf("%x", sha256.Sum256(content)); err != nil || e.SHA256.Hex != want {
			t.Errorf("%s: SHA256 = %v, want %s (%v)", e.Path, e.SHA256, want, err)
		}
	}
}

func TestInputDigestDoesNotDependOnTheMachine(t *testing.T) {
	files := [][2]string{{"a/x", "1"}, {"a/y", "2"}, {"b", "-> a/x"}, {"c", "=> a/y"}, {"d/", ""}}
	one, two := t.TempDir(), t.TempDir()
	fill(t, one, files...)

	defer syscall.Umask(syscall.Umask(0o077))
	fill(t, two, files[1], files[4], files[3], files[2], files[0])
	past := time.Unix(1_000_000_000, 0)
	if err := errors.Join(os.Chtimes(filepath.Join(two, "a/x"), past, past), os.Chmod(filepath.Join(two, "a"), 0o711)); err != nil {
		t.Fatal(err)
	}

	first, second := mustResolve(t, one, dir.Options{}), mustResolve(t, two, dir.Options{})
	if a, b := digestOf(t, first), digestOf(t, second); a != b {
		t.Errorf("InputDigest = %v and %v, want the same", a, b)
	}
	if diff := cmp.Diff(list(treeOf(t, first)), list(treeOf(t, second))); diff != "" {
		t.Errorf("trees differ:\n%s", diff)
	}
}

func TestInputDigestDependsOnWhatTheLayerShows(t *testing.T) {
	base := [][2]string{{"a", "1"}, {"b", "1"}, {"l", "-> a"}, {"d/", ""}}
	digest := func(change func(root string) error) v1.Hash {
		root := t.TempDir()
		fill(t, root, base...)
		if err := change(root); err != nil {
			t.Fatal(err)
		}
		return digestOf(t, mustResolve(t, root, dir.Options{}))
	}
	seen := map[v1.Hash]string{digest(func(string) error { return nil }): "no change"}
	for name, change := range map[string]func(root string) error{
		"content": func(root string) error { return os.WriteFile(root+"/a", []byte("2"), 0o644) },
		"name":    func(root string) error { return os.Rename(root+"/a", root+"/aa") },
		"mode":    func(root string) error { return os.Chmod(root+"/a", 0o755) },
		"target":  func(root string) error { return errors.Join(os.Remove(root+"/l"), os.Symlink("b", root+"/l")) },
		"folder":  func(root string) error { return os.Remove(root + "/d") },
		"hard link": func(root string) error {
			return errors.Join(os.Remove(root+"/b"), os.Link(root+"/a", root+"/b"))
		},
	} {
		got := digest(change)
		if other, ok := seen[got]; ok {
			t.Errorf("InputDigest after a change of %s is the same as after %s", name, other)
		}
		seen[got] = name
	}
}

func TestAMissingFolderIsAnInputError(t *testing.T) {
	root := t.TempDir()
	fill(t, root, [2]string{"file", ""})
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"missing", "file", "fifo"} {
		_, err := resolve(filepath.Join(root, name), dir.Options{})
		wantError(t, err, builder.Input, name)
	}
	_, err := resolve("", dir.Options{})
	wantError(t, err, builder.Input)
}

func TestTheFolderMayBeASymlink(t *testing.T) {
	base := t.TempDir()
	fill(t, base, [2]string{"real/file", ""}, [2]string{"link", "-> real"})
	tree := treeOf(t, mustResolve(t, filepath.Join(base, "link"), dir.Options{}))
	if diff := cmp.Diff([]string{`file 644 0:0 "file" 0 bytes`}, list(tree)); diff != "" {
		t.Errorf("Tree (-want +got):\n%s", diff)
	}
	if _, err := read(tree.Entries[0].Content); err != nil {
		t.Errorf("read through the link: %v", err)
	}
}

func TestFilesThatAreNoneAreAllNamed(t *testing.T) {
	root := openTempDir(t) // t.TempDir is too long a name for a socket
	fill(t, root, [2]string{"sub/fine", ""}, [2]string{"abs", "-> /etc/passwd"})
	if err := syscall.Mkfifo(filepath.Join(root, "sub/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	bindSocket(t, filepath.Join(root, "sock"))

	_, err := resolve(root, dir.Options{})
	wantError(t, err, builder.Input, `"sub/pipe" (FIFO)`, `"sock" (socket)`, `"abs" (to "/etc/passwd")`)

	t.Run("unless they are excluded", func(t *testing.T) {
		r := mustResolve(t, root, dir.Options{Exclude: []string{"**/pipe", "sock", "abs"}})
		want := []string{`dir 755 0:0 "sub"`, `file 644 0:0 "sub/fine" 0 bytes`}
		if diff := cmp.Diff(want, list(treeOf(t, r))); diff != "" {
			t.Errorf("Tree (-want +got):\n%s", diff)
		}
	})
}

// openTempDir is a t.TempDir with a short name that everybody can enter.
func openTempDir(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "") //nolint:usetesting // t.TempDir is not for everybody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func bindSocket(t *testing.T, name string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: name}); err != nil {
		t.Fatal(err)
	}
}

func TestManyFaultsAreCounted(t *testing.T) {
	root := t.TempDir()
	for i := range 50 {
		fill(t, root, [2]string{fmt.Sprintf("link%02d", i), "-> /x"})
	}
	_, err := resolve(root, dir.Options{})
	wantError(t, err, builder.Input, `"link00"`, `"link19"`, "and 30 more")
}

func TestAbsoluteLinksAreKeptOnRequest(t *testing.T) {
	root := t.TempDir()
	fill(t, root, [2]string{"abs", "-> /etc/passwd"})
	r := mustResolve(t, root, dir.Options{AbsoluteLinks: true})
	want := []string{`symlink 777 0:0 "abs" to "/etc/passwd"`}
	if diff := cmp.Diff(want, list(treeOf(t, r))); diff != "" {
		t.Errorf("Tree (-want +got):\n%s", diff)
	}
}

func TestExclude(t *testing.T) {
	root := t.TempDir()
	fill(t, root,
		[2]string{".git/objects/ab", ""},
		[2]string{"sub/.git/config", ""},
		[2]string{"sub/.gitignore", ""},
		[2]string{"sub/deep/file.xcf", ""},
		[2]string{"sub/deep/file.png", ""},
	)
	everything := []string{
		".git", ".git/objects", ".git/objects/ab", "sub", "sub/.git", "sub/.git/config", "sub/.gitignore",
		"sub/deep", "sub/deep/file.png", "sub/deep/file.xcf",
	}
	tests := []struct {
		name    string
		exclude []string
		want    []string
	}{
		{"nothing", nil, everything},
		{"prunes a folder at any depth", []string{"**/.git/**"}, []string{
			"sub", "sub/.gitignore", "sub/deep", "sub/deep/file.png", "sub/deep/file.xcf",
		}},
		{"drops files and keeps their folders", []string{"**/*.xcf", ".git/*/*", "sub/.git*"}, []string{
			".git", ".git/objects", "sub", "sub/.git", "sub/.git/config", "sub/deep", "sub/deep/file.png",
		}},
		{"lists what lies below a folder that only matches itself", []string{"sub"}, everything},
		{"everything", []string{"**"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, e := range treeOf(t, mustResolve(t, root, dir.Options{Exclude: test.exclude})).Entries {
				got = append(got, e.Path)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("refuses a broken glob", func(t *testing.T) {
		_, err := resolve(root, dir.Options{Exclude: []string{"[a"}})
		wantError(t, err, builder.Config, "[a")
	})
}

func TestUnreadableFoldersAndFilesAreInputErrors(t *testing.T) {
	root := openTempDir(t)
	fill(t, root, [2]string{"closed/file", ""}, [2]string{"blind/file", ""}, [2]string{"secret", "x"})
	for name, mode := range map[string]os.FileMode{"closed": 0, "blind": 0o444, "secret": 0} {
		name := filepath.Join(root, name)
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(name, 0o755) })
	}
	dropPrivileges(t)

	_, err := resolve(root, dir.Options{})
	wantError(t, err, builder.Input, `"closed"`, `"blind/file"`)

	r := mustResolve(t, root, dir.Options{Exclude: []string{"closed/**", "blind/**"}})
	_, err = r.InputDigest(t.Context())
	wantError(t, err, builder.Input, `"secret"`)
	if errors.Is(err, builder.ErrChanged) {
		t.Errorf("error %q matches ErrChanged", err)
	}
}

// dropPrivileges makes root somebody else for the rest of the test.
func dropPrivileges(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	if err := syscall.Seteuid(65534); err != nil {
		t.Skipf("root reads everything, and cannot become somebody else here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Seteuid(0); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDevicesAreRefused(t *testing.T) {
	root := t.TempDir()
	if err := mknod(filepath.Join(root, "null")); err != nil {
		t.Skipf("making a device node needs privileges: %v", err)
	}
	_, err := resolve(root, dir.Options{})
	wantError(t, err, builder.Input, `"null" (device)`)
}

func TestACancelledWalkStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := dir.New(t.TempDir(), dir.Options{}).Resolve(ctx, v1.Platform{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Resolve = %v, want %v", err, context.Canceled)
	}
}

func TestADeepTreeIsWalkedUpToALimit(t *testing.T) {
	root := t.TempDir()
	parent, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("n", 200)
	for range 30 {
		child, err := func() (*os.Root, error) {
			defer parent.Close()
			if err := parent.Mkdir(name, 0o755); err != nil {
				return nil, err
			}
			return parent.OpenRoot(name)
		}()
		if err != nil {
			t.Fatal(err)
		}
		parent = child
	}
	defer parent.Close()
	_, err = resolve(root, dir.Options{})
	wantError(t, err, builder.Input, "too long")
}

// settled runs a test in a bubble whose clock is long past the times of the files that the test made before.
func settled(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	now := time.Now().Add(time.Hour)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		test(t)
	})
}

func TestMemoSparesReadingWhatDidNotChange(t *testing.T) {
	root, cache := t.TempDir(), t.TempDir()
	fill(t, root, [2]string{"a", "1"}, [2]string{"b/c", "2"}, [2]string{"d", "=> a"})

	build := func(t *testing.T) (v1.Hash, []string) {
		t.Helper()
		m, err := memo.Open(cache, root)
		if err != nil {
			t.Fatal(err)
		}
		var h hasher
		digest := digestOf(t, mustResolve(t, root, dir.Options{Memo: m, Hash: h.hash}))
		if err := m.Save(); err != nil {
			t.Fatal(err)
		}
		return digest, h.hashed
	}
	t.Run("not while the files are too young to be trusted", func(t *testing.T) {
		build(t)
		if _, hashed := build(t); len(hashed) != 2 {
			t.Errorf("the second build read %q, want both files", hashed)
		}
	})
	settled(t, func(t *testing.T) {
		t.Helper()
		first, _ := build(t)
		second, hashed := build(t)
		if len(hashed) != 0 {
			t.Errorf("the second build read %q, want nothing read", hashed)
		}
		if first != second {
			t.Errorf("InputDigest = %v with the memo, want %v", second, first)
		}
	})
	if err := os.WriteFile(filepath.Join(root, "b/c"), []byte("3"), 0o644); err != nil {
		t.Fatal(err)
	}
	settled(t, func(t *testing.T) {
		t.Helper()
		_, hashed := build(t)
		if diff := cmp.Diff([]string{"b/c"}, hashed); diff != "" {
			t.Errorf("hashed after an edit (-want +got):\n%s", diff)
		}
	})
}
