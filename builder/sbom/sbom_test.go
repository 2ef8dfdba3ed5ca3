package sbom_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

type text string

func (s text) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(s))), nil }

func tree(files map[string]string) builder.Tree {
	var t builder.Tree
	for name, content := range files {
		e := builder.Entry{Path: name, Type: builder.Regular, Mode: 0o644, Size: int64(len(content)), Content: text(content)}
		if strings.HasPrefix(name, "usr/bin/") {
			e.Mode = 0o755
		}
		t.Entries = append(t.Entries, e)
	}
	slices.SortFunc(t.Entries, func(a, b builder.Entry) int { return strings.Compare(a.Path, b.Path) })
	return t
}

func hash(n int) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", n)} }

// program is a real program that Go built.
func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module example.com/game\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", "game", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "game"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestLookFindsPackagesProgramsAndTheSystem(t *testing.T) {
	got, err := sbom.Look(t.Context(), tree(map[string]string{
		"usr/lib/os-release":               "NAME=x\nID=debian\nVERSION_ID=\"12\"\n",
		"var/lib/dpkg/status":              "Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2\nArchitecture: arm64\nDescription: x\n Package: no\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n\nnonsense\n",
		"var/lib/dpkg/status.d/a":          "Package: a\nVersion: 2\nArchitecture: all\n",
		"var/lib/dpkg/status.d/a.md5sums":  "Package: no\nVersion: 2\nArchitecture: all\n",
		"usr/bin/game":                     program(t),
		"usr/bin/script":                   "#!/bin/sh\n",
		"usr/bin/elf":                      "\x7fELF and nothing more",
		"usr/share/game":                   "\x7fELF",
		"usr/share/doc/var/lib/dpkg/other": "Package: no\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if p := got[i].Program; p != nil && strings.HasPrefix(p.GoVersion, "go1.") {
			p.GoVersion = "go1"
		}
	}
	want := []sbom.Finding{
		{Path: "usr/bin/game", Program: &sbom.Program{GoVersion: "go1", Main: sbom.Module{Path: "example.com/game", Version: "(devel)"}}},
		{Path: "usr/lib/os-release", System: "debian-12"},
		{Path: "var/lib/dpkg/status", Debs: []sbom.Deb{{Name: "zlib1g", Version: "1:1.2", Architecture: "arm64"}}},
		{Path: "var/lib/dpkg/status.d/a", Debs: []sbom.Deb{{Name: "a", Version: "2", Architecture: "all"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Look (-want +got):\n%s", diff)
	}
}

func TestLookStopsWhenItIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sbom.Look(ctx, tree(map[string]string{"etc/os-release": "ID=x"})); err == nil {
		t.Error("Look goes on")
	}
}

func document(t *testing.T, phases ...sbom.Phase) []byte {
	t.Helper()
	raw, err := sbom.Document(sbom.Subject{
		Name: "game", Manifest: hash(7), Platform: v1.Platform{OS: "linux", Architecture: "arm64"}, Created: time.Unix(1, 0),
	}, "pitcrew-builder-test", phases)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// valid reads a document with the SPDX project's own library, and checks what that does not.
func valid(t *testing.T, raw []byte) *spdx.Document {
	t.Helper()
	d, err := spdxjson.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if d.SPDXVersion != "SPDX-2.3" {
		t.Fatalf("version %q", d.SPDXVersion)
	}
	if err := spdxlib.ValidateDocument(d); err != nil {
		t.Error(err)
	}
	seen := map[any]bool{}
	for _, p := range d.Packages {
		if seen[p.PackageSPDXIdentifier] {
			t.Errorf("the identifier %s is there twice", p.PackageSPDXIdentifier)
		}
		seen[p.PackageSPDXIdentifier] = true
	}
	for _, r := range d.Relationships {
		for _, id := range []any{r.RefA.ElementRefID, r.RefB.ElementRefID} {
			known := seen[id] || fmt.Sprint(id) == "DOCUMENT"
			for _, f := range d.Files {
				known = known || f.FileSPDXIdentifier == id
			}
			if !known {
				t.Errorf("a relationship names %v, which is not there", id)
			}
		}
	}
	return d
}

func TestADocumentIsValidSPDXAndTheSameEveryTime(t *testing.T) {
	phases := []sbom.Phase{
		{Name: builder.Assets, Input: hash(1), Files: hash(9)},
		{Name: builder.Base, Input: hash(2), Findings: []sbom.Finding{
			{Path: "etc/os-release", System: "debian-12"},
			{Path: "var/lib/dpkg/status.d/libstdc++6", Debs: []sbom.Deb{{"libstdc++6", "12.2.0-14", "arm64"}, {"libstdc..6", "12.2.0-14", "arm64"}}},
			{Path: "usr/bin/tool", Program: &sbom.Program{GoVersion: "go1.20", Main: sbom.Module{Path: "old"}}},
		}},
		{Name: builder.Code, Input: hash(3), Findings: []sbom.Finding{
			{Path: "usr/bin/tool", Program: &sbom.Program{GoVersion: "go1.26.8 X:x", Main: sbom.Module{Path: "example.com/a b"}, Modules: []sbom.Module{{"golang.org/x/sys", "v0.47.0"}}}},
		}},
	}
	raw := document(t, phases...)
	if !bytes.Equal(raw, document(t, phases...)) {
		t.Error("two documents of one image differ")
	}
	d := valid(t, raw)
	var got []string
	for _, p := range d.Packages {
		var line strings.Builder
		line.WriteString(p.PackageName + " " + p.PackageVersion)
		for _, r := range p.PackageExternalReferences {
			line.WriteString(" " + r.Locator)
		}
		if p.PackageName == "assets" {
			line.WriteString(" " + p.PackageChecksums[0].Value)
		}
		got = append(got, line.String())
	}
	want := []string{
		"game " + hash(7).String(),
		"assets " + hash(1).String() + " " + hash(9).Hex,
		"base " + hash(2).String(),
		"libstdc++6 12.2.0-14 pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=arm64&distro=debian-12",
		"libstdc..6 12.2.0-14 pkg:deb/debian/libstdc..6@12.2.0-14?arch=arm64&distro=debian-12",
		"code " + hash(3).String(),
		"example.com/a b (devel) pkg:golang/example.com/a%20b",
		"stdlib 1.26.8 pkg:golang/stdlib@1.26.8",
		"golang.org/x/sys v0.47.0 pkg:golang/golang.org/x/sys@v0.47.0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func files(n int) []sbom.File {
	var out []sbom.File
	for i := range n {
		out = append(out, sbom.NewFile(fmt.Sprintf("game/tex/%05d.png", i), hash(i)))
	}
	return out
}

func TestFilesAreListedInDocumentsThatChangeAFewAtATime(t *testing.T) {
	for _, n := range []int{0, 1, 33, 5000, 20_000} {
		list := append(files(n), sbom.NewFile("odd \xff", hash(1)))
		before, err := sbom.FileDocuments(list)
		if err != nil {
			t.Fatal(err)
		}
		if len(before) > 60 {
			t.Errorf("%d files in %d documents, want 60 at most", n, len(before))
		}
		got, err := sbom.ParseFiles(before)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(list, got); diff != "" {
			t.Errorf("%d files, read again (-want +got):\n%s", n, diff)
		}
		list[len(list)/2].SHA256 = hash(-1 - n + 2*n)
		list = append(list, sbom.NewFile("new", hash(3)))
		after, err := sbom.FileDocuments(list)
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for _, doc := range after {
			if !slices.ContainsFunc(before, func(b []byte) bool { return bytes.Equal(doc, b) }) {
				changed++
			}
		}
		if changed > 3 { // that with the edit, and the two that the new file may make of one
			t.Errorf("%d files: %d documents of %d changed with one edit and one new file", n, changed, len(after))
		}
	}
}

func TestAWholeDocumentHasTheFilesToo(t *testing.T) {
	docs, err := sbom.FileDocuments(files(100))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		valid(t, doc)
	}
	whole, err := sbom.WithFiles(document(t, sbom.Phase{Name: builder.Assets, Input: hash(1)}), docs)
	if err != nil {
		t.Fatal(err)
	}
	if d := valid(t, whole); len(d.Files) != 100 {
		t.Errorf("%d files, want 100", len(d.Files))
	}
}

func TestDocumentsOfOthersAreInputErrors(t *testing.T) {
	for _, raw := range []string{"", "{", `{"spdxVersion":"SPDX-9"}`, `[]`, `{"files":[null]}`} {
		if _, err := sbom.ParseFiles([][]byte{[]byte(raw)}); builder.KindOf(err) != builder.Input {
			t.Errorf("ParseFiles(%q) = %v, want an Input error", raw, err)
		}
	}
}

// FuzzRead holds that hostile files in an image neither fail nor stop a build.
func FuzzRead(f *testing.F) {
	f.Add("var/lib/dpkg/status", []byte("Package: a\nVersion: 1\n"))
	f.Add("etc/os-release", []byte("ID=debian\n"))
	f.Add("usr/bin/x", []byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, name string, raw []byte) {
		got, ok, err := sbom.Read(name, 0o755, int64(len(raw)), bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			doc, err := sbom.Document(sbom.Subject{}, "t", []sbom.Phase{{Findings: []sbom.Finding{got}}})
			if err != nil {
				t.Fatal(err)
			}
			valid(t, doc)
		}
	})
}
