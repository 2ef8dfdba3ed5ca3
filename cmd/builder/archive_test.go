package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The asset layers depend on the files, not on how they come: as a folder, an archive, or one in parts.
func TestAFolderAndItsArchivesGiveTheSameLayers(t *testing.T) {
	dir := project(t)
	if err := os.Remove(filepath.Join(dir, "assets/source.psd")); err != nil {
		t.Fatal(err)
	}
	shell(t, dir, "tar czf assets.tar.gz assets && tar cf - assets | zstd -q | split -b 900000 - assets.tar.zst.part-")
	reg := testRegistry(t)
	layers := func(source string) string {
		write(t, dir, "pipeline.yaml", strings.Replace(gamePipeline, `dir: {path: assets}`, source, 1))
		mustBuild(t, dir, "--registry", reg, "--plain-http")
		var digests []string
		for _, l := range inspected(t, reg+"/game:1").Platforms[0].Layers {
			digests = append(digests, l.Phase+" "+l.Digest)
		}
		return strings.Join(digests, "\n")
	}
	want := layers("dir: {path: assets}")
	for _, source := range []string{
		"archive: {path: assets.tar.gz, stripComponents: 1}",
		`archive: {parts: ["assets.tar.zst.part-*"], stripComponents: 1}`,
	} {
		if got := layers(source); got != want {
			t.Errorf("%s gives the layers\n%s\nwant those of the folder:\n%s", source, got, want)
		}
	}
}

func shell(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func TestAWorkingCopyIsWhatWasCheckedOut(t *testing.T) {
	dir := project(t)
	plain := mustBuild(t, dir, "--layout", filepath.Join(t.TempDir(), "a.oci"))
	write(t, dir, "assets/.svn/wc.db", "one")
	write(t, dir, "assets/tex/.svn/entries", "two")
	write(t, dir, "amd64/.git/HEAD", "three")
	write(t, dir, "arm64/.git", "gitdir: elsewhere") // of a worktree
	if working := mustBuild(t, dir, "--layout", filepath.Join(t.TempDir(), "b.oci")); working.Digest != plain.Digest {
		t.Errorf("with version control's own files: %s, want %s", working.Digest, plain.Digest)
	}
}
