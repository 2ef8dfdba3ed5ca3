package pipeline_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
)

var update = flag.Bool("update", false, "write the schema and golden files anew")

// reference is docs/pipeline.md's example, which uses every field.
func reference(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("../../docs/pipeline.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(raw, []byte("```yaml\n"))
	example, _, ok := bytes.Cut(rest, []byte("```\n"))
	if !ok {
		t.Fatal("docs/pipeline.md has no example")
	}
	return example
}

// beside is the folder that the reference example lies in.
func beside() fstest.MapFS {
	file := &fstest.MapFile{Data: []byte("x")}
	return fstest.MapFS{
		"assets/a.png": file, "music/music.tar.part-aa": file, "keys/debian.gpg": file, "out/kart-amd64.tar.gz": file,
		"out/kart-arm64.tar.gz": file, "graviton/lib/x.so": file, "conf/linux/server.xml": file, "toolchain/arm64.cmake": file,
	}
}

func parse(t *testing.T, text string, dir fstest.MapFS) (*pipeline.Pipeline, error) {
	t.Helper()
	if dir == nil {
		return pipeline.Parse("pipeline.yaml", strings.NewReader(text), nil)
	}
	return pipeline.Parse("pipeline.yaml", strings.NewReader(text), dir)
}

func TestTheDocumentedExampleUsesEveryField(t *testing.T) {
	p, err := parse(t, string(reference(t)), beside())
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	useOf(reflect.ValueOf(p), used)
	for field, set := range used {
		if !set {
			t.Errorf("%s is not in the example", field)
		}
	}
	if len(used) < 60 {
		t.Errorf("only %d fields were looked at", len(used))
	}
}

// useOf notes for each field of each struct below v whether it is ever set.
func useOf(v reflect.Value, used map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			useOf(v.Elem(), used)
		}
	case reflect.Slice:
		for i := range v.Len() {
			useOf(v.Index(i), used)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			useOf(v.MapIndex(key), used)
		}
	case reflect.Struct:
		for field, value := range v.Fields() {
			name := v.Type().Name() + "." + field.Name
			used[name] = used[name] || !value.IsZero()
			useOf(value, used)
		}
	}
}

func TestTheServerPhaseOfTheExampleIsReadAsWritten(t *testing.T) {
	p, err := parse(t, string(reference(t)), beside())
	if err != nil {
		t.Fatal(err)
	}
	want := &pipeline.Phase{
		Repository: "kart-server",
		Sources: []pipeline.Source{
			{Destination: "/", Files: []pipeline.File{
				{Path: "/etc/kart/server.xml", From: "conf/${TARGETOS}/server.xml"},
				{Path: "/usr/bin/kart-server", Mode: "0755", Content: new("#!/bin/sh\nexec /opt/kart/bin/kart --server \"$@\"\n")},
				{Path: "/etc/localtime", Link: "/usr/share/zoneinfo/UTC"},
			}},
			{Destination: "/", Owner: "65532:65532", Files: []pipeline.File{{Path: "/var/lib/kart", Dir: true, Mode: "0700"}}},
		},
		Replaces:    []string{"etc/localtime"},
		Split:       pipeline.Split{Layers: 1, MaxLayerSize: 512 << 20, MaxDeltas: 24},
		Compression: "zstd:3",
		Config: pipeline.Config{
			Entrypoint: []string{"/usr/bin/kart-server"}, Cmd: []string{"--log=info"}, Env: map[string]string{"HOME": "/var/lib/kart"},
			User: "65532:65532", WorkingDir: "/var/lib/kart", Ports: []string{"2759/udp"},
			Labels: map[string]string{"org.opencontainers.image.vendor": "Example"}, StopSignal: "SIGTERM", Volumes: []string{"/var/lib/kart"},
		},
	}
	if diff := cmp.Diff(want, p.Phases.Server); diff != "" {
		t.Errorf("phases.server (-want +got):\n%s", diff)
	}
}

func TestTheRealExampleParses(t *testing.T) {
	const dir = "../../examples/supertuxkart"
	f, err := os.Open(filepath.Join(dir, "pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := pipeline.Parse("pipeline.yaml", f, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
}

const small = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: small}
platforms: [linux/amd64]
repository: small
phases:
  assets:
    sources: [dir: {path: assets}]
  base:
    sources: [apt: {packages: [libc6]}]
`

func TestDefaults(t *testing.T) {
	p, err := parse(t, small, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &pipeline.Pipeline{
		APIVersion: pipeline.APIVersion, Kind: pipeline.Kind, Metadata: pipeline.Metadata{Name: "small"},
		Platforms: []string{"linux/amd64"}, Repository: "small", Lock: "assets.lock",
		Limits: pipeline.Limits{MaxUnpackedSize: 64 << 30, MaxEntries: 2_000_000},
		Phases: pipeline.Phases{
			Assets: &pipeline.Phase{
				Repository: "small", Split: pipeline.Split{Layers: 32, MaxLayerSize: 512 << 20, MaxDeltas: 24}, Compression: "auto",
				Sources: []pipeline.Source{{Dir: &pipeline.Dir{Path: "assets"}, Destination: "/"}},
			},
			Base: &pipeline.Phase{
				Repository: "small", Split: pipeline.Split{Layers: 1, MaxLayerSize: 512 << 20, MaxDeltas: 24}, Compression: "zstd:3",
				Sources: []pipeline.Source{{
					Apt:         &pipeline.Apt{Packages: []string{"libc6"}, Dependencies: "all", UsrMerge: new(true)},
					Destination: "/",
				}},
			},
		},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

// Every file in testdata is wrong in several ways; its .golden file is the whole message.
func TestAllFaultsAreReportedTogether(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = pipeline.Parse("pipeline.yaml", bytes.NewReader(raw), fstest.MapFS{"assets/a": {}, "out/x-amd64.tar": {}})
			if builder.KindOf(err) != builder.Config {
				t.Fatalf("Parse: %v, want a Config error", err)
			}
			golden := strings.TrimSuffix(name, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, rerr := os.ReadFile(golden)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if diff := cmp.Diff(string(want), err.Error()+"\n"); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFaultsCarryTheirPlace(t *testing.T) {
	_, err := parse(t, strings.Replace(small, "platforms:", "platfroms:", 1), nil)
	faults, ok := errors.AsType[pipeline.Faults](err)
	want := pipeline.Faults{{
		File: "pipeline.yaml", Line: 4, Column: 1, Path: "platfroms",
		Message: "unknown field", Hint: "did you mean platforms?",
	}}
	if diff := cmp.Diff(want, faults); !ok || diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestWithoutAFolderLocalSourcesAreNotLookedFor(t *testing.T) {
	text := strings.Replace(small, "path: assets", "path: nowhere", 1)
	if _, err := parse(t, text, nil); err != nil {
		t.Errorf("Parse without a folder: %v", err)
	}
	if _, err := parse(t, text, fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), `no such folder "nowhere"`) {
		t.Errorf("Parse with a folder: %v, want no such folder", err)
	}
}

func TestSourcesAboveThePipelineAreLeftToWhoeverReadsThem(t *testing.T) {
	for _, p := range []string{"../assets", "/srv/assets"} {
		if _, err := parse(t, strings.Replace(small, "path: assets", "path: "+p, 1), fstest.MapFS{}); err != nil {
			t.Errorf("dir.path %s: %v", p, err)
		}
	}
}

func TestLocalPathsThatAreNotWhatTheyShouldBe(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "plain"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", filepath.Join(folder, "device")); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		"dir: {path: plain}":         `"plain" is a file, not a folder`,
		"dir: {path: plain/below}":   `cannot look for "plain/below"`,
		"archive: {path: .}":         `"." is a folder, not a file`,
		"archive: {path: device}":    `"device" is not a regular file`,
		"archive: {path: ./missing}": `no such file "./missing"`,
	} {
		text := strings.Replace(small, "dir: {path: assets}", source, 1)
		_, err := pipeline.Parse("pipeline.yaml", strings.NewReader(text), os.DirFS(folder))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), folder) {
			t.Errorf("%s: %v, want %s", source, err, want)
		}
	}
}

func TestAHostileFileIsRefusedAndBounded(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a: &a [x,x]\nb: &b [*a,*a]\n")
	for c := 'c'; c < 'z'; c++ {
		bomb.WriteString(string(c) + ": &" + string(c) + " [*" + string(c-1) + ",*" + string(c-1) + "]\n")
	}
	for name, text := range map[string]string{
		"larger than 1 MiB":     small + strings.Repeat("#", 1<<20),
		"an alias bomb":         bomb.String(),
		"an alias of itself":    "phases: &a {assets: *a}",
		"a merge key":           small + "annotations: {<<: {a: b}}",
		"a second document":     small + "---\n" + small,
		"deep nesting":          strings.Repeat("[", 1<<19),
		"deep mappings":         strings.Repeat("{a: ", 1<<17),
		"many equal folders":    strings.Replace(small, "dir: {path: assets}", "files: ["+strings.Repeat("{path: /a, dir: true},", 40_000)+"]", 1) + "tags: ['']",
		"many tags":             small + "tags: [" + strings.Repeat("-,", 100_000) + "]",
		"a key of 900 kB":       "? " + strings.Repeat("k", 900_000) + "\n: x",
		"a value of 900 kB":     "kind: " + strings.Repeat("k", 900_000),
		"invalid UTF-8":         "kind: \xff",
		"no YAML":               "kind: [",
		"a terminal escape":     `"\e[2J": x`,
		"a tag of its own":      small + "tags: !!binary aGFsbG8=",
		"a mapping with a list": "{[a]: b}",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, text, nil)
			if builder.KindOf(err) != builder.Config {
				t.Fatalf("Parse: %v, want a Config error", err)
			}
			if msg := err.Error(); len(msg) > 50_000 || strings.ContainsRune(msg, '\x1b') {
				t.Errorf("the message has %d bytes: %.200q", len(msg), msg)
			}
		})
	}
}

func TestAReaderThatFailsIsAConfigErrorWithItsCause(t *testing.T) {
	cause := errors.New("disk on fire")
	_, err := pipeline.Parse("p.yaml", iotest.ErrReader(cause), nil)
	if !errors.Is(err, cause) || builder.KindOf(err) != builder.Config {
		t.Errorf("Parse: %v, want a Config error around %v", err, cause)
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]pipeline.Size{"512MiB": 512 << 20, "900MB": 900e6, "4096": 4096, "1 GiB": 1 << 30, "7B": 7, "2TB": 2e12} {
		if got, err := pipeline.ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "+1", "1.5GiB", "99999999999TiB", "1 PB", " 1", "1  MB"} {
		if got, err := pipeline.ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}
