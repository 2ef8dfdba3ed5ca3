package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// game is the whole SuperTuxKart server image, with assets and code in folders that change.
type game struct {
	in  *inputs
	reg *registry
	// assets and code are folders that the image is made of.
	assets, code string
	sample       *sample
}

const gamePipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: warm}
platforms: [linux/%[1]s]
repository: %[2]s
tags: [%[3]q]
phases:
  assets:
    sources: [{dir: {path: %[4]q, absoluteLinks: true}, include: ["usr/share/games/**"]}]
    split: {layers: %[5]d, maxLayerSize: 4GiB}
    compression: %[6]s
  base:
    sources:
      - apt: {packages: [supertuxkart, supertuxkart-data], dependencies: only}
        exclude: ["usr/share/doc/**", "usr/share/man/**", "usr/share/lintian/**", "usr/share/locale/**"]
    compression: %[7]s
  code:
    sources: [{dir: {path: %[8]q, absoluteLinks: true}, include: ["usr/**"], exclude: ["usr/share/doc/**", "usr/share/man/**", "usr/share/lintian/**"]}]
    compression: %[7]s
  server:
    sources:
      - files: [{path: /etc/stk/server_config.xml, content: "<server-config/>"}, {path: /var/lib/stk, dir: true}]
    config: {entrypoint: [/usr/games/supertuxkart], user: "65532:65532"}
`

// layout is how builder packs the image.
type layout struct {
	name           string
	layers         int
	assets, others string
	flags          []string
}

var (
	ours = layout{"ours", 32, "auto", "zstd:3", nil}
	// plain is what a multi-stage Dockerfile copies: all the assets in one layer, gzip at Docker's level.
	plain = layout{"plain", 1, "gzip:6", "gzip:6", []string{"--compact"}}
)

// newGame lays the folders out.
func newGame(ctx context.Context, in *inputs, reg *registry) (*game, error) {
	dir := filepath.Join(in.work, "game")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	g := &game{in: in, reg: reg, assets: filepath.Join(dir, "assets"), code: filepath.Join(dir, "sample", "code")}
	for to, pkg := range map[string]string{g.assets: "supertuxkart-data", g.code: "supertuxkart"} {
		if err := os.MkdirAll(to, 0o755); err != nil {
			return nil, err
		}
		if err := sh(ctx, "", "cp", "-a", filepath.Join(in.work, pkg, "root", "usr"), to); err != nil {
			return nil, err
		}
	}
	of := *in
	of.tree = g.assets
	g.sample, _ = newSample(&of).(*sample) // nothing else
	g.sample.context = filepath.Dir(g.code)
	g.sample.dockerfile += "COPY code /\n"
	return g, nil
}

// change is what a week's work may be: a texture that was touched up, and the program compiled anew.
func (g *game) change() error {
	texture := filepath.Join(g.assets, "usr/share/games/supertuxkart", strings.SplitN(strings.TrimPrefix(g.in.edited, g.in.tree+"/"), "/", 2)[1])
	for _, file := range []string{texture, filepath.Join(g.code, "usr/games/supertuxkart")} {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for i := range 64 {
			raw[len(raw)/2+i] ^= byte(i*7 + 1)
		}
		if err := os.WriteFile(file, raw, 0o755); err != nil { //nolint:gosec // one is a program
			return err
		}
	}
	return nil
}

// build packs the image and returns its reference by digest.
func (g *game) build(ctx context.Context, l layout, tag string) (string, error) {
	dir := filepath.Join(filepath.Dir(g.assets), l.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "pipeline.yaml")
	text := fmt.Appendf(nil, gamePipeline, runtime.GOARCH, "warm/"+l.name, tag, g.assets, l.layers, l.assets, l.others, g.code)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", err
	}
	args := []string{"build", "-f", file, "--registry", g.reg.host, "--plain-http", "--cache-dir", filepath.Join(dir, "cache"), "--output", "json"}
	cmd := exec.CommandContext(ctx, filepath.Join(g.in.root, "bin/builder"), append(args, l.flags...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", l.name, err, tail(stderr.String()))
	}
	var built struct{ Ref string }
	return built.Ref, errors.Join(json.Unmarshal(out, &built))
}

// buildSample builds the AWS sample's pattern and returns its reference by digest.
func (g *game) buildSample(ctx context.Context) (string, error) {
	if _, err := g.sample.build(ctx); err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+g.reg.host+"/v2/bench/stk/manifests/1", nil)
	if err != nil {
		return "", err
	}
	req.Header["Accept"] = documents
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	resp.Body.Close()
	d := resp.Header.Get("Docker-Content-Digest")
	if d == "" {
		return "", fmt.Errorf("the sample's image: %s", resp.Status)
	}
	return g.reg.host + "/bench/stk@" + d, nil
}

var documents = []string{
	"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
}

// stored are the files in which the registry keeps what a repository has, config and manifests included.
func (g *game) stored(repository string) ([]string, error) {
	var out []string
	base := filepath.Join(g.reg.dir, "docker/registry/v2")
	err := filepath.WalkDir(filepath.Join(base, "repositories", repository, "_layers", "sha256"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "link" {
			digest := filepath.Base(filepath.Dir(path))
			out = append(out, filepath.Join(base, "blobs", "sha256", digest[:2], digest, "data"))
		}
		return err
	})
	return out, err
}
