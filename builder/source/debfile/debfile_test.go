package debfile_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/debfile"
	"github.com/pitcrew-dev/pitcrew/builder/source/debfile/debfiletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var tiny = debfiletest.Deb{
	Package: "tiny", Version: "1:2.0-1~x", Architecture: "arm64",
	Fields:   "Depends: other,\n another\n",
	MD5Sums:  "d41d8cd98f00b204e9800998ecf8427e  usr/empty\n",
	Files:    []tar.Header{debfiletest.Folder("./usr/"), debfiletest.File("./usr/empty"), debfiletest.File("./usr/full")},
	Contents: map[string]string{"./usr/full": "content"},
}

// readAll reads a package as its users do.
func readAll(ctx context.Context, r io.Reader) (control *debfile.Control, names []string, err error) {
	d, err := debfile.Open(ctx, "tiny.deb", r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	t := tar.NewReader(d.Data())
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		names = append(names, h.Name)
	}
	return d.Control(), names, d.Finish()
}

func TestEveryCompressionIsRead(t *testing.T) {
	for _, compression := range []string{"", "gz", "xz", "zst"} {
		t.Run("compression "+compression, func(t *testing.T) {
			deb := tiny
			deb.Compression = compression
			control, names, err := readAll(t.Context(), bytes.NewReader(deb.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"./usr/", "./usr/empty", "./usr/full"}, names); diff != "" {
				t.Errorf("data.tar (-want +got):\n%s", diff)
			}
			got := []string{control.Package, control.Version, control.Architecture, control.Field("depends"), string(control.MD5Sums)}
			want := []string{"tiny", "1:2.0-1~x", "arm64", "other,\n another", deb.MD5Sums}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("control (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStatusStandsBehindThePackageName(t *testing.T) {
	c, err := debfile.ParseControl([]byte("Package: a1\nStatus: lies\nVersion: 1\nArchitecture: all\nDescription: x\n Status: kept"))
	if err != nil {
		t.Fatal(err)
	}
	want := "Package: a1\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nDescription: x\n Status: kept\n"
	if diff := cmp.Diff(want, string(c.Status())); diff != "" {
		t.Errorf("Status (-want +got):\n%s", diff)
	}
}

func TestMembersThatBeginWithAnUnderscoreAreSkipped(t *testing.T) {
	control := debfiletest.Tar([]tar.Header{debfiletest.File("control")}, map[string]string{"control": tiny.Control()})
	deb := debfiletest.Archive(
		debfiletest.Member{Name: "debian-binary", Content: []byte("2.1\n")},
		debfiletest.Member{Name: "_odd/", Content: []byte("odd")},
		debfiletest.Member{Name: "control.tar/", Content: control},
		debfiletest.Member{Name: "_gpgorigin", Content: []byte("x")},
		debfiletest.Member{Name: "data.tar/", Content: debfiletest.Tar(nil, nil)},
		debfiletest.Member{Name: "later", Content: []byte("abc")},
	)
	if _, _, err := readAll(t.Context(), bytes.NewReader(deb)); err != nil {
		t.Fatal(err)
	}
}

func TestAPackageCutShortAnywhereIsAnInputErrorThatNamesIt(t *testing.T) {
	for _, compression := range []string{"", "gz", "xz", "zst"} {
		deb := tiny
		deb.Compression = compression
		whole := deb.Bytes()
		for n := range len(whole) - 1 { // the last byte may be padding
			_, _, err := readAll(t.Context(), bytes.NewReader(whole[:n]))
			if err == nil || builder.KindOf(err) != builder.Input || !strings.Contains(err.Error(), "tiny.deb") {
				t.Fatalf("compression %q, %d of %d bytes: error is %v of kind %d", compression, n, len(whole), err, builder.KindOf(err))
			}
		}
	}
}

func TestWhatIsNoPackageIsAnInputError(t *testing.T) {
	version := debfiletest.Member{Name: "debian-binary", Content: []byte("2.0\n")}
	control := func(text string) debfiletest.Member {
		files := []tar.Header{debfiletest.File("control")}
		return debfiletest.Member{Name: "control.tar", Content: debfiletest.Tar(files, map[string]string{"control": text})}
	}
	header := tiny.Bytes()
	copy(header[8+48:], "-5")
	for name, test := range map[string]struct {
		deb  []byte
		want string
	}{
		"text":                     {[]byte("<html>not found</html>"), "ar archive"},
		"another ar archive":       {debfiletest.Archive(debfiletest.Member{Name: "lib.o", Content: []byte("x")}), "debian-binary"},
		"format 3":                 {debfiletest.Archive(debfiletest.Member{Name: "debian-binary", Content: []byte("3.0\n")}), "format version"},
		"negative size":            {header, "size"},
		"no control file":          {debfiletest.Archive(version, debfiletest.Member{Name: "control.tar", Content: debfiletest.Tar(nil, nil)}), "no control file"},
		"data before control":      {debfiletest.Archive(version, debfiletest.Member{Name: "data.tar"}), "control.tar belongs"},
		"unknown compression":      {debfiletest.Archive(version, debfiletest.Member{Name: "control.tar.lz4"}), `"lz4"`},
		"xz that is none":          {debfiletest.Archive(version, debfiletest.Member{Name: "control.tar.xz", Content: make([]byte, 99)}), "xz stream"},
		"name that leads upwards":  {debfiletest.Archive(version, control("Package: ../x\nVersion: 1\nArchitecture: all\n")), `"../x"`},
		"version with a slash":     {debfiletest.Archive(version, control("Package: xx\nVersion: 1/2\nArchitecture: all\n")), `"1/2"`},
		"architecture of two":      {debfiletest.Archive(version, control("Package: xx\nVersion: 1\nArchitecture: a b\n")), `"a b"`},
		"a field twice":            {debfiletest.Archive(version, control("Package: xx\nPackage: yy\n")), "Package: yy"},
		"two paragraphs":           {debfiletest.Archive(version, control("Package: xx\n\nPackage: yy\n")), "more than one"},
		"a continuation of none":   {debfiletest.Archive(version, control(" x\n")), "continuation"},
		"more behind data than is": {withTrailing(2 << 20), "more than belongs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := readAll(t.Context(), bytes.NewReader(test.deb))
			if builder.KindOf(err) != builder.Input || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v of kind %d, want an Input error about %s", err, builder.KindOf(err), test.want)
			}
		})
	}
}

// withTrailing is a package with n bytes behind the end of its data's tar archive.
func withTrailing(n int) []byte {
	control := debfiletest.Tar([]tar.Header{debfiletest.File("control")}, map[string]string{"control": tiny.Control()})
	return debfiletest.Archive(
		debfiletest.Member{Name: "debian-binary", Content: []byte("2.0\n")},
		debfiletest.Member{Name: "control.tar", Content: control},
		debfiletest.Member{Name: "data.tar", Content: append(debfiletest.Tar(nil, nil), make([]byte, n)...)},
	)
}

func TestAnInputThatFailsIsNotTakenForADamagedPackage(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, n := range []int{3, 100, 300} {
		r := io.MultiReader(bytes.NewReader(tiny.Bytes()[:n]), &failing{broken})
		if _, _, err := readAll(t.Context(), r); !errors.Is(err, broken) || builder.KindOf(err) == builder.Input {
			t.Errorf("after %d bytes: error is %v of kind %d, want the reader's own", n, err, builder.KindOf(err))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := readAll(ctx, bytes.NewReader(tiny.Bytes())); !errors.Is(err, context.Canceled) {
		t.Errorf("error after cancel is %v", err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzOpen(f *testing.F) {
	for _, compression := range []string{"", "gz", "xz", "zst"} {
		deb := tiny
		deb.Compression = compression
		f.Add(deb.Bytes())
	}
	f.Fuzz(func(t *testing.T, deb []byte) {
		control, _, err := readAll(t.Context(), bytes.NewReader(deb))
		if err != nil && builder.KindOf(err) != builder.Input && !errors.Is(err, tar.ErrHeader) {
			t.Errorf("error is %v of kind %d", err, builder.KindOf(err))
		}
		if err == nil && strings.ContainsAny(control.Package+control.Version+control.Architecture, "/\n\x00") {
			t.Errorf("control is %+v", control)
		}
	})
}
