package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/memo"
	"github.com/pitcrew-dev/pitcrew/builder/source/archive"
	"github.com/pitcrew-dev/pitcrew/builder/source/internal/pinned"
	"github.com/pitcrew-dev/pitcrew/builder/source/pack"
	"github.com/pitcrew-dev/pitcrew/internal/fetch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var linux = v1.Platform{OS: "linux", Architecture: "amd64"}

// hash is what the caller's hashing does, and counts.
func hash(n *int) func(context.Context, iter.Seq[*builder.Entry]) error {
	return func(_ context.Context, files iter.Seq[*builder.Entry]) error {
		for e := range files {
			r, err := e.Content.Open()
			if err != nil {
				return err
			}
			h := sha256.New()
			if _, err := io.Copy(h, r); err != nil {
				return err
			}
			if err := r.Close(); err != nil {
				return err
			}
			*n++
			e.SHA256 = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
			if r, ok := e.Content.(builder.Rememberer); ok {
				r.Remember(e.SHA256)
			}
		}
		return nil
	}
}

func options(t testing.TB, root string) archive.Options {
	t.Helper()
	cache := t.TempDir()
	store, err := pack.Open(filepath.Join(cache, "packs"))
	if err != nil {
		t.Fatal(err)
	}
	return archive.Options{Root: root, Store: store, Hash: hash(new(int)), CacheDir: cache, Fetch: &fetch.Client{Retries: -1}}
}

func tree(t testing.TB, o archive.Options) (builder.Tree, error) {
	t.Helper()
	r, err := archive.New(o).Resolve(t.Context(), linux)
	if err != nil {
		return builder.Tree{}, err
	}
	return r.Tree(t.Context())
}

// list is a tree as text, with what files hold.
func list(t testing.TB, tree builder.Tree) []string {
	t.Helper()
	out := []string{}
	for _, e := range tree.Entries {
		line := fmt.Sprintf("%s %o", e.Path, e.Mode)
		if e.Link != "" {
			line += " to " + e.Link
		}
		if e.Content != nil {
			r, err := e.Content.Open()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(r)
			if err != nil || r.Close() != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf(" %.20q", raw)
		}
		out = append(out, line)
	}
	return out
}

var game = []tar.Header{
	{Typeflag: tar.TypeDir, Name: "game/", Mode: 0o700},
	{Typeflag: tar.TypeReg, Name: "game/run", Mode: 0o750},
	{Typeflag: tar.TypeLink, Name: "game/start", Linkname: "game/run"},
	{Typeflag: tar.TypeReg, Name: "game/data/track.xml", Mode: 0o600},
	{Typeflag: tar.TypeSymlink, Name: "game/current", Linkname: "data/track.xml"},
}

var gameTree = []string{
	"current 777 to data/track.xml", "data 755", `data/track.xml 644 "game/data/track.xmlg"`, `run 755 "game/rungame/rungame"`, "start 755 to run",
}

func body(name string) string { return strings.Repeat(name, 2000) }

// tarOf packs files that hold their names, many times.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		text := ""
		if h.Typeflag == tar.TypeReg {
			text = body(h.Name)
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pipe(t testing.TB, plain []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := open(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }

// formats are the same archive in every format.
func formats(t testing.TB) map[archive.Format][]byte {
	t.Helper()
	plain := tarOf(t, game...)
	bzipped, err := os.ReadFile("testdata/game.tar.bz2") // of plain: there is no Go package that makes these
	if err != nil {
		t.Fatal(err)
	}
	out := map[archive.Format][]byte{
		"tar":     plain,
		"tar.bz2": bzipped,
		"tar.gz":  pipe(t, plain, gz),
		"tar.zst": pipe(t, plain, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
		"tar.xz":  pipe(t, plain, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		"zip": zipOf(t, member{name: "game/", mode: fs.ModeDir | 0o700}, member{name: "game/run", mode: 0o750}, member{name: "game/start", mode: 0o755, body: body("game/run")},
			member{name: "game/data/track.xml", mode: 0o600}, member{name: "game/current", mode: fs.ModeSymlink | 0o777, body: "data/track.xml"}),
	}
	return out
}

type member struct {
	name string
	mode fs.FileMode
	body string // "" means the name, many times
	edit func(h *zip.FileHeader)
}

func zipOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		h.SetMode(m.mode)
		if m.edit != nil {
			m.edit(h)
		}
		to, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		text := m.body
		if text == "" && m.mode.IsRegular() {
			text = body(m.name)
		}
		if _, err := io.WriteString(to, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func put(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
}

func TestEveryFormatGivesTheSameTree(t *testing.T) {
	for format, content := range formats(t) {
		t.Run(string(format), func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "data"), content)
			want := gameTree
			if format == archive.Zip { // knows no hard links
				want = append(slices.Clone(gameTree[:4]), `start 755 "game/rungame/rungame"`)
			}
			for _, told := range []archive.Format{"", format} {
				o := options(t, dir)
				o.Path, o.StripComponents, o.Format = "data", 1, told
				got, err := tree(t, o)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, list(t, got)); diff != "" {
					t.Errorf("tree (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestPartsAreJoinedInNaturalOrder(t *testing.T) {
	for format, content := range formats(t) {
		t.Run(string(format), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "odd [name]")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			size := len(content)/12 + 1
			i := 0
			for part := range slices.Chunk(content, size) {
				i++
				put(t, filepath.Join(dir, fmt.Sprintf("part-%d", i)), part)
			}
			o := options(t, dir)
			sum := sha256.Sum256(content)
			o.Parts, o.StripComponents, o.SHA256 = []string{"part-?", "part-??"}, 1, hex.EncodeToString(sum[:])
			got, err := tree(t, o)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(list(t, got)); n != len(gameTree) {
				t.Errorf("%d entries, want %d", n, len(gameTree))
			}
			o.Parts = []string{"part-*"}
			again, err := tree(t, o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(list(t, got), list(t, again)); diff != "" {
				t.Errorf("one glob gives another tree:\n%s", diff)
			}
		})
	}
}

func TestATruncatedArchiveIsAnInputErrorThatNamesIt(t *testing.T) {
	for format, content := range formats(t) {
		t.Run(string(format), func(t *testing.T) {
			for _, cut := range []int{0, 3, len(content) / 3, len(content) / 2, len(content) - 1} {
				if format == "tar" && cut == len(content)-1 {
					cut = len(content) - 1024 // without its end mark
				}
				dir := t.TempDir()
				put(t, filepath.Join(dir, "data.bin"), content[:cut])
				o := options(t, dir)
				o.Path, o.Format = "data.bin", format
				_, err := tree(t, o)
				if builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "archive data.bin") {
					t.Errorf("%d of %d bytes: %v of kind %d, want an Input error that names the archive", cut, len(content), err, builder.KindOf(err))
				}
				if packs, err := filepath.Glob(filepath.Join(o.CacheDir, "packs", "*")); err != nil || len(packs) > 0 {
					t.Errorf("left in the cache: %v, %v", packs, err)
				}
			}
		})
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	zeros := strings.Repeat("\x00", 80<<20)
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"a zip name that leads upwards":  {zipOf(t, member{name: "ok"}, member{name: "../../etc/cron.d/x"}), "leads upwards"},
		"an absolute zip name":           {zipOf(t, member{name: "/etc/passwd"}), "is absolute"},
		"a zip name with backslashes":    {zipOf(t, member{name: `..\x`}), `\`},
		"a zip symlink that leads out":   {zipOf(t, member{name: "a/link", mode: fs.ModeSymlink, body: "../../etc"}), "out of the archive"},
		"an absolute zip symlink":        {zipOf(t, member{name: "link", mode: fs.ModeSymlink, body: "/etc"}), "absolute"},
		"a zip entry behind a symlink":   {zipOf(t, member{name: "l", mode: fs.ModeSymlink, body: "d"}, member{name: "l/x"}), "symlink"},
		"a zip bomb":                     {zipOf(t, member{name: "zeros", body: zeros}), "over 200 times"},
		"a device node in a zip":         {zipOf(t, member{name: "null", mode: fs.ModeDevice | fs.ModeCharDevice, body: "x"}), "device node"},
		"a FIFO in a zip":                {zipOf(t, member{name: "pipe", mode: fs.ModeNamedPipe, body: "x"}), "FIFO"},
		"an encrypted zip entry":         {zipOf(t, member{name: "secret", edit: func(h *zip.FileHeader) { h.Flags |= 1 }}), "encrypted"},
		"two zip entries with one name":  {zipOf(t, member{name: "twice"}, member{name: "twice"}), "two entries"},
		"zip entries that share bytes":   {overlapping(t), "share bytes"},
		"a tar name that leads upwards":  {tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "a/../../x"}), "leads upwards"},
		"a tar symlink that leads out":   {tarOf(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "../x"}), "out of the archive"},
		"a device node in a tar":         {tarOf(t, tar.Header{Typeflag: tar.TypeBlock, Name: "sda"}), "device node"},
		"a tar bomb":                     {pipe(t, append(tarFile("zeros", zeros), make([]byte, 1024)...), gz), "over 200 times"},
		"nulls without an end":           {pipe(t, []byte(zeros), gz), "null bytes behind the end"},
		"more behind the end of the tar": {append(tarOf(t, game...), tarOf(t, game...)...), "more behind the end"},
		"what is no archive":             {bytes.Repeat([]byte("hello "), 200), "no known archive format"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "evil"), c.content)
			o := options(t, dir)
			o.Path = "evil"
			_, err := tree(t, o)
			if builder.KindOf(err) != builder.Input || !strings.Contains(fmt.Sprint(err), c.want) || !strings.Contains(fmt.Sprint(err), "archive evil") {
				t.Errorf("error %v of kind %d, want an Input error about %q", err, builder.KindOf(err), c.want)
			}
		})
	}
}

// tarFile is a header and its file, without the archive's end.
func tarFile(name, content string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content))}); err != nil {
		panic(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// overlapping is a zip whose second central header points at the first member.
func overlapping(t testing.TB) []byte {
	t.Helper()
	raw := zipOf(t, member{name: "first"}, member{name: "other"})
	central := bytes.LastIndex(raw, []byte("PK\x01\x02"))
	copy(raw[central+42:central+46], []byte{0, 0, 0, 0})
	return raw
}

func TestLimitsAreThePipelines(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "zip"), formats(t)[archive.Zip])
	put(t, filepath.Join(dir, "tar"), formats(t)["tar"])
	for _, name := range []string{"zip", "tar"} {
		for want, limits := range map[string]pack.Limits{"bytes": {MaxSize: 100}, "entries": {MaxEntries: 2}} {
			o := options(t, dir)
			o.Path, o.Limits = name, limits
			if _, err := tree(t, o); builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an Input error about too many %s", name, err, want)
			}
		}
	}
}

func TestAnArchiveThatTheMemoKnowsIsNotReadAgain(t *testing.T) {
	dir := t.TempDir()
	content := tarOf(t, game...)
	put(t, filepath.Join(dir, "data.tar"), content)
	o := options(t, dir)
	memory, err := memo.Open(o.CacheDir, dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	o.Path, o.Hash, o.Memo = "data.tar", hash(&n), func(string) *memo.Memo { return memory }
	file, _, err := pinned.Pin(dir, "data.tar")
	if err != nil {
		t.Fatal(err)
	}
	file.Memo = memory
	file.Stat.Taken += time.Minute.Nanoseconds() // its change time is of now, and the memo does not trust that
	sum := sha256.Sum256(content)
	file.Remember(v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])})
	if _, err := tree(t, o); err != nil || n != 0 {
		t.Errorf("hashed %d files, %v, want none", n, err)
	}
}

func TestAnArchiveThatChangesWhileItIsReadIsNotUnpacked(t *testing.T) {
	for _, format := range []archive.Format{"tar.gz", archive.Zip} {
		dir := t.TempDir()
		name := filepath.Join(dir, "data")
		put(t, name, formats(t)[format])
		o := options(t, dir)
		o.Path = "data"
		r, err := archive.New(o).Resolve(t.Context(), linux)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.InputDigest(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(t, name, append(formats(t)[format], 0))
		if _, err := r.Tree(t.Context()); builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), builder.ErrChanged.Error()) {
			t.Errorf("%s: Tree = %v, want an error that says it changed", format, err)
		}
	}
}

func TestTheDigestIsOfTheContent(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.tar"), tarOf(t, game...))
	put(t, filepath.Join(dir, "b.tar"), tarOf(t, game...))
	put(t, filepath.Join(dir, "c.tar"), tarOf(t, game[:2]...))
	digest := func(name string, strip int) string {
		o := options(t, dir)
		o.Path, o.StripComponents = name, strip
		r, err := archive.New(o).Resolve(t.Context(), linux)
		if err != nil {
			t.Fatal(err)
		}
		d, err := r.InputDigest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d.Hex
	}
	if digest("a.tar", 0) != digest("b.tar", 0) {
		t.Error("equal archives have different digests")
	}
	if digest("a.tar", 0) == digest("c.tar", 0) || digest("a.tar", 0) == digest("a.tar", 1) {
		t.Error("different trees have one digest")
	}
}

func TestWrongDigestsAndMissingFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "p1"), []byte("x"))
	put(t, filepath.Join(dir, "p2"), []byte("x"))
	for name, c := range map[string]struct {
		edit func(o *archive.Options)
		kind builder.Kind
		want string
	}{
		"another archive":       {func(o *archive.Options) { o.Path, o.SHA256 = "p1", strings.Repeat("0", 64) }, builder.Input, "sha256 is 2d7116"},
		"other parts":           {func(o *archive.Options) { o.Parts, o.SHA256 = []string{"p*"}, strings.Repeat("0", 64) }, builder.Input, "sha256 is 5dde89"},
		"no file":               {func(o *archive.Options) { o.Path = "gone.tar" }, builder.Input, "gone.tar"},
		"a folder":              {func(o *archive.Options) { o.Path = "." }, builder.Input, "not a regular file"},
		"no part":               {func(o *archive.Options) { o.Parts = []string{"p1", "q*"} }, builder.Input, `"q*": no file`},
		"a part in two globs":   {func(o *archive.Options) { o.Parts = []string{"p1", "p*"} }, builder.Config, "two of the globs"},
		"an unreachable server": {func(o *archive.Options) { o.URL, o.SHA256 = "http://127.0.0.1:1/a.tar", strings.Repeat("0", 64) }, builder.Transient, "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, dir)
			c.edit(&o)
			_, err := tree(t, o)
			if builder.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("error %v of kind %d, want kind %d about %q", err, builder.KindOf(err), c.kind, c.want)
			}
		})
	}
}

func TestADownloadIsMadeOnce(t *testing.T) {
	content := pipe(t, tarOf(t, game...), gz)
	gets := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gets++
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	sum := sha256.Sum256(content)
	o := options(t, t.TempDir())
	o.URL, o.SHA256, o.StripComponents = server.URL+"/game.tar.gz?token=1", hex.EncodeToString(sum[:]), 1
	r, err := archive.New(o).Resolve(t.Context(), linux)
	if err != nil || r.Pending() != -1 {
		t.Fatalf("Pending = %d, %v, want -1: it is not there yet", r.Pending(), err)
	}
	for range 2 {
		got, err := tree(t, o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(gameTree, list(t, got)); diff != "" {
			t.Errorf("tree (-want +got):\n%s", diff)
		}
	}
	o.StripComponents = 0 // another tree, the same file
	if _, err := tree(t, o); err != nil {
		t.Fatal(err)
	}
	if gets != 1 || r.Pending() != 0 {
		t.Errorf("%d downloads, %d bytes pending, want 1 and 0", gets, r.Pending())
	}
	o.SHA256 = strings.Repeat("1", 64)
	if _, err := tree(t, o); builder.KindOf(err) != builder.Input || strings.Contains(err.Error(), "token=1") {
		t.Errorf("another file: %v, want an Input error without the query", err)
	}
}

func FuzzTar(f *testing.F) {
	f.Add(tarOf(f, game[4], game[0]))
	f.Add(pipe(f, tarOf(f, game...), gz))
	fuzz(f, "")
}

func FuzzZip(f *testing.F) {
	f.Add(formats(f)[archive.Zip])
	f.Add(overlapping(f))
	fuzz(f, archive.Zip)
}

// fuzz holds that whatever is unpacked is a tree that stays below its root, and every other end an Input error.
func fuzz(f *testing.F, format archive.Format) {
	f.Helper()
	dir := f.TempDir()
	o := options(f, dir)
	o.Path, o.Format, o.Limits = "data", format, pack.Limits{MaxSize: 1 << 20, MaxEntries: 1000}
	f.Fuzz(func(t *testing.T, content []byte) {
		put(t, filepath.Join(dir, "data"), content)
		got, err := tree(t, o)
		if err != nil {
			if builder.KindOf(err) != builder.Input {
				t.Fatalf("%v is of kind %d, want an Input error", err, builder.KindOf(err))
			}
			return
		}
		for i, e := range got.Entries {
			if !filepath.IsLocal(e.Path) || i > 0 && got.Entries[i-1].Path >= e.Path {
				t.Errorf("entry %q", e.Path)
			}
			if e.Type == builder.Symlink && !filepath.IsLocal(filepath.Join(filepath.Dir(e.Path), e.Link)) {
				t.Errorf("symlink %q to %q", e.Path, e.Link)
			}
		}
	})
}
