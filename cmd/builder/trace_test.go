package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-dev/pitcrew/builder/pipeline"
	"github.com/pitcrew-dev/pitcrew/builder/trace"
)

func TestARealProgramIsTraced(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skipf("needs strace: %v", err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"tracks/a.xml": "<a/>", "tracks/b.xml": "<b/>", "tracks/a.png": "png", "music/m.ogg": "sound", "fonts/f.ttf": "font",
	} {
		write(t, dir, "data/"+name, content)
	}
	root := filepath.Join(dir, "data")
	run := func(script string, args ...string) trace.Proposal {
		t.Helper()
		var p trace.Proposal
		all := append([]string{"trace", "--root", root, "--prefix", "usr/share"}, args...)
		all = append(all, "--output", "json", "--", "sh", "-c", script)
		code, stdout, stderr := command(t, dir, all...)
		if code != 0 {
			t.Fatalf("trace: exit %d\n%s", code, stderr)
		}
		decode(t, stdout, &p)
		return p
	}
	saved := filepath.Join(dir, "one.json")
	p := run("cd "+root+" && cat tracks/a.xml & wait; [ -r "+root+"/fonts/f.ttf ]; exit 3", "--save", saved)
	if diff := cmp.Diff([]string{"usr/share/**/*.ogg", "usr/share/**/*.png", "usr/share/**/*.ttf"}, p.Exclude); diff != "" {
		t.Errorf("exclude (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"usr/share/fonts/f.ttf"}, p.Placeholders); diff != "" {
		t.Errorf("placeholders (-want +got):\n%s", diff)
	}
	p = run("cat "+root+"/tracks/a.png", "--merge", saved)
	if diff := cmp.Diff([]string{"usr/share/**/*.ogg", "usr/share/**/*.ttf"}, p.Exclude); diff != "" {
		t.Errorf("of two runs, exclude (-want +got):\n%s", diff)
	}

	// What it prints as text is what a pipeline takes.
	code, stdout, stderr := command(t, dir, "trace", "--root", root, "--prefix", "usr/share", "--merge", saved)
	if code != 0 {
		t.Fatalf("trace: exit %d\n%s", code, stderr)
	}
	text := strings.ReplaceAll(profilePipeline, "    profile: server\n", "")
	head, _, _ := strings.Cut(text, "    profiles:")
	_, tail, _ := strings.Cut(text, `placeholders: ["game/fonts/*"]`)
	indented := "    " + strings.ReplaceAll(strings.TrimSpace(stdout[strings.Index(stdout, "profiles:"):]), "\n", "\n    ")
	if _, err := pipeline.Parse("pipeline.yaml", strings.NewReader(head+indented+tail), nil); err != nil {
		t.Errorf("what it proposes is not valid: %v\n%s", err, indented)
	}
	for name, args := range map[string][]string{"no root": {"trace", "--", "true"}, "nothing to look at": {"trace", "--root", root}} {
		if code, _, stderr := command(t, dir, args...); code != 2 {
			t.Errorf("%s: exit %d, want 2\n%s", name, code, stderr)
		}
	}
}
