package apt_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/apt"
	"github.com/pitcrew-dev/pitcrew/builder/source/debfile/debfiletest"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
	"github.com/pitcrew-dev/pitcrew/internal/fetch"
	"github.com/pitcrew-dev/pitcrew/internal/filelock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ builder.Source = (*apt.Source)(nil)

var (
	amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = v1.Platform{OS: "linux", Architecture: "arm64"}

	platforms = []v1.Platform{amd64, arm64}
)

// options are those of a build with a cache of its own.
func options(t *testing.T, mirrors []apt.Mirror, packages ...string) apt.Options {
	t.Helper()
	cache := t.TempDir()
	store, err := pack.Open(filepath.Join(cache, "packs"))
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	client := &fetch.Client{HTTP: &http.Client{Transport: transport}}
	return apt.Options{Packages: packages, Mirrors: mirrors, CacheDir: cache, Store: store, Fetch: client}
}

func resolve(t *testing.T, o apt.Options, p v1.Platform) *apt.Resolved {
	t.Helper()
	r, err := apt.New(o).Resolve(t.Context(), p)
	if err != nil {
		t.Fatalf("Resolve(%v, %s): %v", o.Packages, p, err)
	}
	return r.(*apt.Resolved)
}

func treeOf(t *testing.T, r builder.Resolved) builder.Tree {
	t.Helper()
	tree, err := r.Tree(t.Context())
	if err != nil {
		t.Fatalf("Tree: %v", err)
	}
	return tree
}

func digestOf(t *testing.T, r builder.Resolved) v1.Hash {
	t.Helper()
	digest, err := r.InputDigest(t.Context())
	if err != nil {
		t.Fatalf("InputDigest: %v", err)
	}
	return digest
}

// names are the packages' names, "!" before those that the pipeline names.
func names(t *testing.T, r *apt.Resolved) []string {
	t.Helper()
	packages, err := r.Packages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range packages {
		mark := ""
		if p.Named {
			mark = "!"
		}
		out = append(out, fmt.Sprintf("%s%s=%s/%s", mark, p.Name, p.Version, p.Architecture))
	}
	return out
}

// list renders a tree without the packages' descriptions, one entry a line.
func list(t *testing.T, tree builder.Tree) []string {
	t.Helper()
	var lines []string
	for _, e := range tree.Entries {
		if strings.HasPrefix("var/lib/dpkg/status.d", e.Path) || strings.HasPrefix(e.Path, "var/lib/dpkg/status.d/") {
			continue
		}
		line := fmt.Sprintf("%s %o %s", [...]string{"?", "dir", "file", "symlink", "hardlink"}[e.Type], e.Mode, e.Path)
		if e.Link != "" {
			line += " to " + e.Link
		}
		if e.Type == builder.Regular {
			line += " holds " + read(t, tree, e.Path)
		}
		lines = append(lines, line)
	}
	return lines
}

func read(t *testing.T, tree builder.Tree, name string) string {
	t.Helper()
	i := slices.IndexFunc(tree.Entries, func(e builder.Entry) bool { return e.Path == name })
	if i < 0 {
		t.Fatalf("the tree has no %s", name)
	}
	r, err := tree.Entries[i].Content.Open()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// wantError checks an error's kind, that it has a hint, and that error and hint together say what they must.
func wantError(t *testing.T, err error, kind builder.Kind, says ...string) {
	t.Helper()
	e, ok := errors.AsType[*builder.Error](err)
	if !ok || e.Kind != kind {
		t.Fatalf("error is %v of kind %d, want kind %d", err, builder.KindOf(err), kind)
	}
	if e.Hint == "" {
		t.Errorf("error %q has no hint", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error()+"\n"+e.Hint, s) {
			t.Errorf("error %q (%s) does not say %q", err, e.Hint, s)
		}
	}
}

// one is a package with one file.
func one(name, arch, file, content string) debfiletest.Deb {
	return debfiletest.Deb{
		Package: name, Architecture: arch, Compression: "xz",
		Files:    []tar.Header{debfiletest.File("./" + file)},
		Contents: map[string]string{"./" + file: content},
	}
}

func with(d debfiletest.Deb, fields string) debfiletest.Deb {
	d.Fields += fields
	return d
}

// game is a program for two architectures with a library and data for all.
func game() []debfiletest.Deb {
	return []debfiletest.Deb{
		with(one("game", "amd64", "usr/games/game", "amd64 code"), "Depends: game-data (= 1.0), libgame1\nRecommends: music\n"),
		with(one("game", "arm64", "usr/games/game", "arm64 code"), "Depends: game-data (= 1.0), libgame1\nRecommends: music\n"),
		one("game-data", "", "usr/share/game/track", "a track"),
		with(one("libgame1", "amd64", "lib/libgame.so.1", "amd64 library"), "Depends: setup\n"),
		with(one("libgame1", "arm64", "lib/libgame.so.1", "arm64 library"), "Depends: setup\n"),
		with(one("setup", "", "usr/bin/setup", "#!"), "Depends: interpreter\n"),
		one("interpreter", "", "usr/bin/interpreter", "#!"),
		one("music", "", "usr/share/game/music", "a song"),
	}
}

func TestBothArchitecturesComeFromOneMachine(t *testing.T) {
	o := options(t, newMirror(t, game()...).local(), "game")
	for _, p := range platforms {
		r := resolve(t, o, p)
		arch := p.Architecture
		want := []string{"!game=1.0/" + arch, "game-data=1.0/all", "interpreter=1.0/all", "libgame1=1.0/" + arch, "setup=1.0/all"}
		if diff := cmp.Diff(want, names(t, r)); diff != "" {
			t.Errorf("packages for %s (-want +got):\n%s", p, diff)
		}
		if got := r.Pending(); got != 0 {
			t.Errorf("Pending = %d, want 0: the mirror is a folder", got)
		}
		tree := treeOf(t, r)
		want = []string{
			"dir 755 lib", "file 644 lib/libgame.so.1 holds " + arch + " library",
			"dir 755 usr", "dir 755 usr/bin", "file 644 usr/bin/interpreter holds #!", "file 644 usr/bin/setup holds #!",
			"dir 755 usr/games", "file 644 usr/games/game holds " + arch + " code",
			"dir 755 usr/share", "dir 755 usr/share/game", "file 644 usr/share/game/track holds a track",
		}
		if diff := cmp.Diff(want, list(t, tree)); diff != "" {
			t.Errorf("tree for %s (-want +got):\n%s", p, diff)
		}
		if status := read(t, tree, "var/lib/dpkg/status.d/game"); !strings.HasPrefix(status, "Package: game\nStatus: install ok installed\nVersion: 1.0\n") {
			t.Errorf("status of game is %q", status)
		}
	}
}

func TestDataForAllArchitecturesIsFetchedOnce(t *testing.T) {
	mirrors, asked := newMirror(t, game()...).serve(t)
	o := options(t, mirrors, "game-data")
	first, second := resolve(t, o, amd64), resolve(t, o, arm64)
	if a, b := digestOf(t, first), digestOf(t, second); a != b {
		t.Errorf("input digests are %s and %s, want equal ones", a, b)
	}
	if a, b := first.Pending(), second.Pending(); a <= 0 || a != b {
		t.Errorf("Pending = %d and %d, want the package's size", a, b)
	}
	if diff := cmp.Diff(list(t, treeOf(t, first)), list(t, treeOf(t, second))); diff != "" {
		t.Errorf("trees differ:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"game-data_1.0_all.deb": 1}, asked.debs()); diff != "" {
		t.Errorf("downloads (-want +got):\n%s", diff)
	}
	if got := second.Pending(); got != 0 {
		t.Errorf("Pending = %d after Tree, want 0", got)
	}
	if left, _ := filepath.Glob(filepath.Join(o.CacheDir, "debs", "*.deb")); len(left) > 0 {
		t.Errorf("the cache still has %v", left)
	}
	pins := []builder.Pin{{Name: "deb:game-data=1.0:all", Digest: first.Pins()[0].Digest}}
	if diff := cmp.Diff(pins, second.Pins()); diff != "" {
		t.Errorf("pins (-want +got):\n%s", diff)
	}
}

func TestPackagesAreKeptOnRequestAndUsedIfTheyAreWhole(t *testing.T) {
	mirrors, asked := newMirror(t, game()...).serve(t)
	o := options(t, mirrors, "game-data")
	o.KeepDebs = true
	var kept []string
	for _, build := range []struct {
		name      string
		damage    func()
		downloads int
	}{
		{"the first build", func() {}, 1},
		{"a build with a new store", func() {}, 1},
		{"a build that finds the package damaged", func() { damage(t, kept[0]) }, 2},
	} {
		build.damage()
		o.Store = options(t, mirrors).Store
		treeOf(t, resolve(t, o, amd64))
		if kept, _ = filepath.Glob(filepath.Join(o.CacheDir, "debs", "*.deb")); len(kept) != 1 {
			t.Fatalf("after %s the cache has %v, want one package", build.name, kept)
		}
		if got := asked.debs()["game-data_1.0_all.deb"]; got != build.downloads {
			t.Errorf("after %s there were %d downloads, want %d", build.name, got, build.downloads)
		}
	}
}

// damage changes one byte of a file.
func damage(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDownloadsThatFailAreTheMirrorsFault(t *testing.T) {
	for name, test := range map[string]struct {
		change func(m mirror)
		kind   builder.Kind
	}{
		"another file":  {func(m mirror) { m.write(t, "pool/game-data_1.0_all.deb", []byte("other")) }, builder.Input},
		"no file":       {func(m mirror) { _ = os.RemoveAll(filepath.Join(m.dir, "pool")) }, builder.Input},
		"a closed door": {func(m mirror) { m.write(t, "denied", nil) }, builder.Auth},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t, game()...)
			mirrors, _ := m.serve(t)
			mirrors[0].URI = strings.Replace(mirrors[0].URI, "http://", "http://user:secret@", 1)
			r := resolve(t, options(t, mirrors, "game-data"), amd64)
			test.change(m)
			_, err := r.Tree(t.Context())
			wantError(t, err, test.kind, "game-data 1.0", "http://user:xxxxx@127.0.0.1")
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q shows the password", err)
			}
		})
	}
}

func TestThePartOfTheClosureThatIsWanted(t *testing.T) {
	mirrors := newMirror(t, append(game(),
		with(one("mta", "", "usr/sbin/sendmail", "m"), "Provides: mail-transport\n"))...).local()
	for name, test := range map[string]struct {
		change func(*apt.Options)
		want   []string
	}{
		"none": {func(o *apt.Options) { o.Dependencies = apt.None }, []string{"!game=1.0/arm64"}},
		"only": {
			func(o *apt.Options) { o.Dependencies = apt.Only },
			[]string{"game-data=1.0/all", "interpreter=1.0/all", "libgame1=1.0/arm64", "setup=1.0/all"},
		},
		"recommends": {
			func(o *apt.Options) { o.Recommends = true },
			[]string{"!game=1.0/arm64", "game-data=1.0/all", "interpreter=1.0/all", "libgame1=1.0/arm64", "music=1.0/all", "setup=1.0/all"},
		},
		"exclude, with what only that needs": {
			func(o *apt.Options) { o.Exclude = []string{"setup", "game-data"} },
			[]string{"!game=1.0/arm64", "libgame1=1.0/arm64"},
		},
		"a version": {
			func(o *apt.Options) { o.Packages, o.Dependencies = []string{"game=1.0"}, apt.None },
			[]string{"!game=1.0/arm64"},
		},
		"a virtual package with one provider": {
			func(o *apt.Options) { o.Packages = []string{"mail-transport"} },
			[]string{"!mta=1.0/all"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, mirrors, "game")
			test.change(&o)
			if diff := cmp.Diff(test.want, names(t, resolve(t, o, arm64))); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnExclusionIsForgottenByTheNextBuild(t *testing.T) {
	o := options(t, newMirror(t, game()...).local(), "game")
	all := names(t, resolve(t, o, arm64))
	excluding := o
	excluding.Exclude = []string{"setup"}
	resolve(t, excluding, arm64)
	if diff := cmp.Diff(all, names(t, resolve(t, o, arm64))); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestPackagesThatAreNotToBeHad(t *testing.T) {
	mirrors := newMirror(t, append(game(),
		with(one("mta1", "", "a", ""), "Provides: mail-transport\n"),
		with(one("mta2", "", "a", ""), "Provides: mail-transport\n"),
		with(one("broken", "", "a", ""), "Depends: gone (>= 2)\n"),
		one("x86-only", "amd64", "a", ""))...).local()
	for name, test := range map[string]struct {
		packages []string
		says     []string
	}{
		"unknown ones, all named":              {[]string{"game", "nosuch", "nosuch-either"}, []string{"nosuch, nosuch-either"}},
		"a name that matches as an expression": {[]string{"gam.-data"}, []string{"unknown package", "gam.-data"}},
		"one for another architecture":         {[]string{"x86-only"}, []string{"unknown package", "x86-only"}},
		"a version":                            {[]string{"game=2.0"}, []string{"2.0", "game"}},
		"a virtual package with a choice":      {[]string{"mail-transport"}, []string{"mail-transport", "mta1, mta2"}},
		"a dependency":                         {[]string{"broken"}, []string{"broken", "gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apt.New(options(t, mirrors, test.packages...)).Resolve(t.Context(), arm64)
			wantError(t, err, builder.Input, test.says...)
		})
	}
	o := options(t, mirrors, "game")
	o.Exclude = []string{"nosuch"}
	_, err := apt.New(o).Resolve(t.Context(), arm64)
	wantError(t, err, builder.Input, "nosuch")
}

func TestAMirrorThatCannotBeReachedIsNamed(t *testing.T) {
	needApt(t)
	t.Setenv("no_proxy", "127.0.0.1")
	_, err := apt.New(options(t, at("http://127.0.0.1:1/debian"), "game")).Resolve(t.Context(), arm64)
	wantError(t, err, builder.Transient, "http://127.0.0.1:1/debian", "try again")
}

func TestAMirrorThatIsNoneIsAnInputError(t *testing.T) {
	mirrors, _ := newMirror(t, game()...).serve(t)
	mirrors[0].Suites = []string{"nosuch"}
	_, err := apt.New(options(t, mirrors, "game")).Resolve(t.Context(), arm64)
	wantError(t, err, builder.Input, mirrors[0].URI, "suite")

	mirrors[0].Suites, mirrors[0].Trusted = []string{"stable"}, false
	_, err = apt.New(options(t, mirrors, "game")).Resolve(t.Context(), arm64)
	wantError(t, err, builder.Input, mirrors[0].URI, "not signed")
}

func TestAMirrorThatIsGoneIsNoticedThoughItsIndexIsCached(t *testing.T) {
	m := newMirror(t, game()...)
	o := options(t, m.local(), "game")
	resolve(t, o, arm64)
	if err := os.Rename(filepath.Join(m.dir, "dists"), filepath.Join(m.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	_, err := apt.New(o).Resolve(t.Context(), arm64)
	wantError(t, err, builder.Input, m.dir)

	o.MaxAge = time.Hour
	resolve(t, o, arm64) // does not ask
}

func TestAPackageThatIsNotTheOneOfTheIndexIsRefused(t *testing.T) {
	deb := one("tiny", "", "etc/tiny", "x")
	whole := deb.Bytes()
	other := one("tiny", "", "etc/tiny", "another").Bytes()
	flipped := slices.Clone(whole)
	flipped[len(flipped)-40] ^= 1
	for name, content := range map[string][]byte{
		"another package": other,
		"one byte":        flipped,
		"cut short":       whole[:len(whole)/2],
		"more behind it":  append(slices.Clone(whole), "\n\n"...),
		"not a package":   []byte("<html>we moved</html>"),
		"empty":           nil,
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t, deb)
			o := options(t, m.local(), "tiny")
			r := resolve(t, o, arm64)
			m.write(t, "pool/"+deb.FileName(), content)
			_, err := r.Tree(t.Context())
			wantError(t, err, builder.Input, "tiny 1.0", "differs from its index")

			m.write(t, "pool/"+deb.FileName(), whole)
			if got := list(t, treeOf(t, r)); len(got) == 0 {
				t.Error("nothing is there after the mirror was repaired")
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		m := newMirror(t, deb)
		r := resolve(t, options(t, m.local(), "tiny"), arm64)
		if err := os.Remove(filepath.Join(m.dir, "pool", deb.FileName())); err != nil {
			t.Fatal(err)
		}
		_, err := r.Tree(t.Context())
		wantError(t, err, builder.Input, "tiny 1.0")
	})
}

func TestAnIndexThatCallsAPackageByAnotherNameIsRefused(t *testing.T) {
	impostor := one("impostor", "", "etc/passwd", "x").Bytes()
	m := newMirror(t, one("tiny", "", "etc/tiny", "x"))
	packages := fmt.Sprintf("Package: tiny\nVersion: 1.0\nArchitecture: all\nFilename: pool/tiny.deb\nSize: %d\nSHA256: %s\n\n",
		len(impostor), sum(impostor))
	m.write(t, "pool/tiny.deb", impostor)
	m.write(t, "dists/stable/main/binary-arm64/Packages", []byte(packages))
	m.write(t, "dists/stable/Release", fmt.Appendf(nil, "Suite: stable\nDate: Mon, 01 Jan 2024 00:00:00 UTC\nArchitectures: arm64\nComponents: main\nSHA256:\n %s %d main/binary-arm64/Packages\n",
		sum([]byte(packages)), len(packages)))
	_, err := resolve(t, options(t, m.local(), "tiny"), arm64).Tree(t.Context())
	wantError(t, err, builder.Input, "impostor")
}

func TestWithoutAptThereIsAHint(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := apt.New(options(t, nil, "game")).Resolve(t.Context(), arm64)
	wantError(t, err, builder.Input, "apt-get", "container")
}

func TestWhatNobodyCouldResolveIsAConfigError(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*apt.Options)
		says   []string
	}{
		"no packages":           {func(o *apt.Options) { o.Packages = nil }, []string{"no packages"}},
		"an option":             {func(o *apt.Options) { o.Packages = []string{"-oDir=/x", "--yes"} }, []string{`"-oDir=/x"`, `"--yes"`}},
		"an order to remove":    {func(o *apt.Options) { o.Packages = []string{"game-"} }, []string{`"game-"`}},
		"an architecture":       {func(o *apt.Options) { o.Packages = []string{"game:arm64"} }, []string{"platform"}},
		"a path":                {func(o *apt.Options) { o.Packages = []string{"./game.deb"} }, []string{`"./game.deb"`}},
		"an expression":         {func(o *apt.Options) { o.Packages = []string{"^game$"} }, []string{`"^game$"`}},
		"a version of nothing":  {func(o *apt.Options) { o.Packages = []string{"game="} }, []string{`"game="`}},
		"excluding an option":   {func(o *apt.Options) { o.Exclude = []string{"-x"} }, []string{`"-x"`}},
		"both wanted and not":   {func(o *apt.Options) { o.Exclude = []string{"game"} }, []string{"both"}},
		"dependencies":          {func(o *apt.Options) { o.Dependencies = "some" }, []string{`"some"`}},
		"cache folder":          {func(o *apt.Options) { o.CacheDir = "relative" }, []string{"relative"}},
		"mirror without suites": {func(o *apt.Options) { o.Mirrors = []apt.Mirror{{URI: "http://m/d"}} }, []string{"http://m/d", "suites"}},
		"mirror that adds lines": {
			func(o *apt.Options) { o.Mirrors = at("http://m/d\nTrusted: yes") }, []string{"URI"},
		},
		"suite that adds an option": {
			func(o *apt.Options) { o.Mirrors[0].Suites = []string{"stable\nTrusted: yes"} }, []string{"Trusted"},
		},
		"suite and components that do not go together": {
			func(o *apt.Options) { o.Mirrors[0].Suites = []string{"./"} }, []string{"./"},
		},
		"keyring": {func(o *apt.Options) { o.Mirrors[0].SignedBy = "key.gpg" }, []string{"key.gpg"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, at("http://m/d"), "game")
			test.change(&o)
			_, err := apt.New(o).Resolve(t.Context(), arm64)
			wantError(t, err, builder.Config, test.says...)
		})
	}
	for _, p := range []v1.Platform{{OS: "windows", Architecture: "amd64"}, {OS: "linux", Architecture: "wasm"}, {}} {
		_, err := apt.New(options(t, nil, "game")).Resolve(t.Context(), p)
		wantError(t, err, builder.Config, p.String())
	}
}

func TestAPasswordOfAMirrorIsNotShown(t *testing.T) {
	needApt(t)
	t.Setenv("no_proxy", "127.0.0.1")
	_, err := apt.New(options(t, at("http://user:secret@127.0.0.1:1/debian"), "game")).Resolve(t.Context(), arm64)
	wantError(t, err, builder.Transient, "127.0.0.1:1")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("error %q shows the password", err)
	}
}

func TestWaitingForAnotherBuildEndsWithTheContext(t *testing.T) {
	o := options(t, newMirror(t, game()...).local(), "game")
	resolve(t, o, arm64)
	locks, err := filepath.Glob(filepath.Join(o.CacheDir, "apt", "*", "lock"))
	if err != nil || len(locks) != 1 {
		t.Fatalf("locks are %v, %v", locks, err)
	}
	unlock, err := filelock.Lock(t.Context(), locks[0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := apt.New(o).Resolve(ctx, arm64); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Resolve = %v while the lock is held, want the context's error", err)
	}
	unlock()
	resolve(t, o, arm64)
}

func TestACancelledBuildStopsApt(t *testing.T) {
	o := options(t, newMirror(t, game()...).local(), "game")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := apt.New(o).Resolve(ctx, arm64); !errors.Is(err, context.Canceled) {
		t.Errorf("Resolve = %v, want the context's error", err)
	}
}
