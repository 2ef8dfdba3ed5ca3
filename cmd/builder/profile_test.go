package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-dev/pitcrew/builder/inspect"
)

const profilePipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: game}
platforms: [linux/amd64, linux/arm64]
repository: game
tags: ["1"]
phases:
  assets:
    sources: [{dir: {path: assets}, destination: /game}]
    split: {layers: 6}
    profile: server
    profiles:
      - name: server
        exclude: ["**/*.png"]
        placeholders: ["game/fonts/*"]
  server:
    sources: [{files: [{path: /etc/game.conf, content: x}]}]
`

func profiled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "pipeline.yaml", profilePipeline)
	for i := range 8 {
		write(t, dir, fmt.Sprintf("assets/tex/%d.png", i), noise(byte(i)))
		write(t, dir, fmt.Sprintf("assets/model/%d.spm", i), noise(byte(100+i)))
		write(t, dir, fmt.Sprintf("assets/model/%d.xml", i), strings.Repeat("<x/>", 5000))
	}
	write(t, dir, "assets/fonts/a.ttf", noise(50))
	return dir
}

// chains are the chain IDs of an image's layers.
func chains(p inspect.Platform) map[string]int64 {
	out := map[string]int64{}
	for _, l := range p.Layers {
		out[l.ChainID.String()] = l.Descriptor.Size
	}
	return out
}

func TestImagesOfSeveralProfilesShareLayers(t *testing.T) {
	dir := profiled(t)
	out := filepath.Join(t.TempDir(), "out.oci")
	build := func(args ...string) map[string]int64 {
		t.Helper()
		mustBuild(t, dir, append([]string{"--layout", out}, args...)...)
		if code, stderr := builderRun(t, nil, "verify", "oci:"+out+":"+args[1]); code != 0 {
			t.Fatalf("verify: exit %d\n%s", code, stderr)
		}
		_, img := loaded(t, out, args[1])
		return chains(img.Platforms[0])
	}
	server := build("--tag", "server")
	full := build("--tag", "full", "--profile", "full")
	var shared, all int64
	for chain, size := range server {
		all += size
		if _, ok := full[chain]; ok {
			shared += size
		}
	}
	if all > 3_600_000 || shared < 3_200_000 {
		t.Errorf("the server's image has %d bytes, of which %d lie in the same layers of the full one, want nearly all", all, shared)
	}
	for _, name := range []string{"assets.lock", "assets.full.lock"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	seen := unpackedAt(t, out, "server")
	if line := seen["game/fonts/a.ttf"]; !strings.HasSuffix(line, `"" 0`) {
		t.Errorf("the placeholder is %q", line)
	}
	if _, ok := seen["game/tex"]; !ok || len(seen) < 20 {
		t.Error("the folder of textures is gone")
	}
	if _, ok := seen["game/tex/0.png"]; ok {
		t.Error("a texture is there")
	}

	// An edit of what only the full image has leaves the server's as it is.
	before := build("--tag", "server")
	write(t, dir, "assets/tex/3.png", noise(99))
	if after := build("--tag", "server"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("a texture changed the server's image")
	}
	write(t, dir, "assets/model/3.xml", "<y/>")
	build("--tag", "server")
	if seen := unpackedAt(t, out, "server"); !strings.Contains(seen["game/model/3.xml"], "<y/>") {
		t.Errorf("after an edit: %q", seen["game/model/3.xml"])
	}
}

func TestProfilesThatAreNotThereAreNamed(t *testing.T) {
	dir := profiled(t)
	code, stderr := builderRun(t, nil, "build", "-f", filepath.Join(dir, "pipeline.yaml"), "--cache-dir", filepath.Join(dir, ".cache"), "--layout", filepath.Join(dir, "x.oci"), "--profile", "none")
	if code != 2 || !strings.Contains(stderr, `--profile "none"`) {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}
