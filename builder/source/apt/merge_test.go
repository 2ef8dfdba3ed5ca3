package apt_test

import (
	"archive/tar"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/source/apt"
	"github.com/pitcrew-dev/pitcrew/builder/source/debfile/debfiletest"
)

// files is a package with these entries; regular ones hold their own names unless text says otherwise.
func files(name string, text map[string]string, headers ...tar.Header) debfiletest.Deb {
	d := debfiletest.Deb{Package: name, Files: headers, Contents: map[string]string{}}
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			d.Contents[h.Name] = h.Name
			if t, ok := text[h.Name]; ok {
				d.Contents[h.Name] = t
			}
		}
	}
	return d
}

func mode(h tar.Header, bits int64) tar.Header {
	h.Mode = bits
	return h
}

func hardlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}
}

// mergedTree is the tree of all these packages.
func mergedTree(t *testing.T, usrMerge bool, debs ...debfiletest.Deb) (builder.Tree, error) {
	t.Helper()
	var names []string
	for _, d := range debs {
		names = append(names, d.Package)
	}
	o := options(t, newMirror(t, debs...).local(), names...)
	o.UsrMerge = usrMerge
	return resolve(t, o, arm64).Tree(t.Context())
}

func TestWhatSeveralPackagesHaveInCommon(t *testing.T) {
	file, folder, link := debfiletest.File, debfiletest.Folder, debfiletest.Link
	for name, test := range map[string]struct {
		debs []debfiletest.Deb
		want []string
	}{
		"folders coincide, and unusual permissions win": {
			[]debfiletest.Deb{
				files("aa", nil, folder("./tmp/"), file("./tmp/a")),
				files("base", nil, mode(folder("./tmp/"), 0o1777)),
				files("zz", nil, folder("./tmp/"), file("./tmp/z")),
			},
			[]string{"dir 1777 tmp", "file 644 tmp/a holds ./tmp/a", "file 644 tmp/z holds ./tmp/z"},
		},
		"equal files and links coincide": {
			[]debfiletest.Deb{
				files("aa", nil, folder("./etc/"), file("./etc/x"), link("./etc/l", "x")),
				files("bb", nil, folder("./etc/"), file("./etc/x"), link("./etc/l", "x")),
			},
			[]string{"dir 755 etc", "symlink 777 etc/l to x", "file 644 etc/x holds ./etc/x"},
		},
		"a package replaces another's file, though its name comes first": {
			[]debfiletest.Deb{
				with(files("aa", map[string]string{"./x": "new"}, file("./x")), "Replaces: zz (<< 2.0), other\n"),
				files("zz", map[string]string{"./x": "old"}, file("./x")),
			},
			[]string{"file 644 x holds new"},
		},
		"a package replaces another's file, and its name comes last": {
			[]debfiletest.Deb{
				files("aa", map[string]string{"./x": "old"}, file("./x")),
				with(files("zz", map[string]string{"./x": "new"}, file("./x")), "Replaces: aa\n"),
			},
			[]string{"file 644 x holds new"},
		},
		"nothing gains rights by being run": {
			[]debfiletest.Deb{files("su", nil, mode(file("./su"), 0o4755), mode(file("./wall"), 0o2755), mode(folder("./mail/"), 0o2775))},
			[]string{"dir 775 mail", "file 755 su holds ./su", "file 755 wall holds ./wall"},
		},
		"hard links stay so": {
			[]debfiletest.Deb{files("perl", nil, file("./perl5"), hardlink("./perl", "./perl5"))},
			[]string{"file 644 perl holds ./perl5", "hardlink 644 perl5 to perl"},
		},
		"absolute links are kept": {
			[]debfiletest.Deb{files("aa", nil, link("./alt", "/etc/alternatives/alt"))},
			[]string{"symlink 777 alt to /etc/alternatives/alt"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := mergedTree(t, false, test.debs...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, list(t, tree)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPackagesThatDoNotGoTogetherAreNamed(t *testing.T) {
	file, folder, link := debfiletest.File, debfiletest.Folder, debfiletest.Link
	x := files("aa", nil, file("./x"))
	for name, test := range map[string]struct {
		other debfiletest.Deb
		hint  string
	}{
		"other content":                  {files("bb", map[string]string{"./x": "y"}, file("./x")), "exclude"},
		"other permissions":              {files("bb", nil, mode(file("./x"), 0o600)), "exclude"},
		"a link":                         {files("bb", nil, link("./x", "y")), "exclude"},
		"a folder":                       {files("bb", nil, folder("./x/")), "exclude"},
		"a folder, though it replaces":   {with(files("bb", nil, folder("./x/")), "Replaces: aa\n"), "exclude"},
		"replaces another version of it": {with(files("bb", nil, mode(file("./x"), 0o600)), "Replaces: aa (<< 1.0)\n"), "exclude"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mergedTree(t, false, x, test.other)
			wantError(t, err, builder.Input, "aa 1.0", "bb 1.0", `"x"`, test.hint)
		})
	}
	_, err := mergedTree(t, false, files("aa", nil, folder("./lib/"), file("./lib/a")), files("base", nil, link("./lib", "usr/lib")))
	wantError(t, err, builder.Input, "usrMerge")
}

func TestUsrMerge(t *testing.T) {
	file, folder, link := debfiletest.File, debfiletest.Folder, debfiletest.Link
	old := []debfiletest.Deb{
		files("libc6", nil, folder("./lib/"), folder("./lib/arm/"), file("./lib/arm/libc.so.6"), link("./lib/arm/ld.so", "libc.so.6"),
			link("./lib/ld-linux.so.1", "arm/ld.so"), link("./lib/out", "../etc/out"), link("./lib/arm/usr", "../../usr/share/x"),
			link("./lib/arm/across", "../../bin/sh")),
		files("shell", nil, folder("./bin/"), mode(file("./bin/sh"), 0o755), hardlink("./bin/rsh", "./bin/sh")),
		files("compat", nil, folder("./usr/"), folder("./usr/bin/"), link("./usr/bin/sh", "/bin/sh"), link("./usr/bin/rsh", "../../bin/rsh")),
	}
	want := []string{
		"symlink 777 bin to usr/bin", "symlink 777 lib to usr/lib", "dir 755 usr", "dir 755 usr/bin",
		"file 755 usr/bin/rsh holds ./bin/sh", "hardlink 755 usr/bin/sh to usr/bin/rsh",
		"dir 755 usr/lib", "dir 755 usr/lib/arm", "symlink 777 usr/lib/arm/across to ../../bin/sh",
		"symlink 777 usr/lib/arm/ld.so to libc.so.6", "file 644 usr/lib/arm/libc.so.6 holds ./lib/arm/libc.so.6",
		"symlink 777 usr/lib/arm/usr to ../../../usr/share/x", "symlink 777 usr/lib/ld-linux.so.1 to arm/ld.so",
		"symlink 777 usr/lib/out to ../../etc/out",
	}
	tree, err := mergedTree(t, true, old...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, list(t, tree)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}

	// A base-files that brings the links, and a library that moved between two releases, change nothing.
	tree, err = mergedTree(t, true, append(old,
		files("base-files", nil, link("./lib", "usr/lib"), link("./bin", "/usr/bin")),
		files("libc6-again", map[string]string{"./usr/lib/arm/libc.so.6": "./lib/arm/libc.so.6"}, file("./usr/lib/arm/libc.so.6")))...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, list(t, tree)); diff != "" {
		t.Errorf("tree with links and equal files (-want +got):\n%s", diff)
	}

	_, err = mergedTree(t, true, files("odd", nil, file("./bin")))
	wantError(t, err, builder.Input, "odd 1.0", `"bin"`)
	_, err = mergedTree(t, true, append(old, files("other", nil, file("./usr/lib/arm/libc.so.6")))...)
	wantError(t, err, builder.Input, "libc6 1.0", "other 1.0")
}

func TestWhatShapesTheTreeIsInTheInputDigest(t *testing.T) {
	m := newMirror(t, game()...).local()
	seen := map[string]string{}
	for name, change := range map[string]func(*apt.Options){
		"all":         func(*apt.Options) {},
		"none":        func(o *apt.Options) { o.Dependencies = apt.None },
		"only":        func(o *apt.Options) { o.Dependencies = apt.Only },
		"recommended": func(o *apt.Options) { o.Recommends = true },
		"merged":      func(o *apt.Options) { o.UsrMerge = true },
	} {
		o := options(t, m, "game")
		change(&o)
		digest := digestOf(t, resolve(t, o, arm64)).String()
		if other, ok := seen[digest]; ok {
			t.Errorf("%s and %s have one input digest", name, other)
		}
		seen[digest] = name
		o.CacheDir = t.TempDir()
		if again := digestOf(t, resolve(t, o, arm64)).String(); again != digest {
			t.Errorf("%s has the digest %s, and with another cache %s", name, digest, again)
		}
	}
}

func TestScannersFindThePackages(t *testing.T) {
	d := files("tiny", nil, debfiletest.File("./x"))
	d.MD5Sums = "9dd4e461268c8034f5c8564e155c67a6  x\n"
	tree, err := mergedTree(t, false, d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d.MD5Sums, read(t, tree, "var/lib/dpkg/status.d/tiny.md5sums")); diff != "" {
		t.Errorf("md5sums (-want +got):\n%s", diff)
	}
	want := "Package: tiny\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n" +
		"Maintainer: Nobody <nobody@example.com>\nDescription: made for a test\n"
	if diff := cmp.Diff(want, read(t, tree, "var/lib/dpkg/status.d/tiny")); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}
