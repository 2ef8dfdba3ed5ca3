package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ordersPipeline is the example's, with assets that can be edited and phases that can be changed.
const ordersPipeline = `apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: orders}
platforms: [linux/amd64, linux/arm64]
repository: stk-server
phases:
  assets:
    sources: [{dir: {path: %q}, destination: /usr/share/games/supertuxkart}]
  base:
    sources:
      - {apt: {packages: [supertuxkart, supertuxkart-data], dependencies: only}, exclude: ["usr/share/doc/**"]}
      - {files: [{path: /etc/base, content: %q}]}
  code:
    sources:
      - {apt: {packages: [supertuxkart], dependencies: none}, exclude: ["usr/share/doc/**"]}
      - {files: [{path: /etc/code, content: %q}]}
  server:
    sources: [{files: [{path: /etc/server, content: "1"}]}]
`

// image is what `builder inspect` says of one platform.
type image struct {
	Layers []imageLayer `json:"layers"`
}

type imageLayer struct {
	Digest, DiffID, Phase string
	Size                  int64
}

// orders measures what a node pulls and unpacks for each kind of change, with deltas on top of the image and, worked out
// from the same layers, with deltas right above the assets' base layers.
func orders(ctx context.Context, in *inputs) error {
	dir, err := os.MkdirTemp(in.work, "orders-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o := &orderly{in: in, dir: dir, base: "1", code: "1"}
	h, err := newHistory(in)
	if err != nil {
		return err
	}
	steps := []struct {
		title   string
		change  func() error
		compact bool
	}{
		{"", func() error { return nil }, false},
		{"", h.editHot, false}, // so that there is a delta below the next one
		{"an artist's commit", h.editHot, false},
		{"a code change", func() error { o.code = "2"; return nil }, false},
		{"an update of the base", func() error { o.base = "2"; return nil }, false},
		{"compaction (`--compact`)", func() error { return nil }, true},
	}
	var table bytes.Buffer
	fmt.Fprintln(&table, "| change | pulled MB | unpacked MB, deltas on top | unpacked MB, deltas above the assets |")
	fmt.Fprintln(&table, "|---|---|---|---|")
	var before image
	for i, s := range steps {
		h.kinds, h.changed = append(h.kinds, s.title), append(h.changed, 0)
		if err := s.change(); err != nil {
			return err
		}
		after, err := o.build(ctx, i, s.compact)
		if err != nil {
			return err
		}
		if s.title != "" {
			pulled, top := cost(before.Layers, after.Layers)
			_, lower := cost(deltasLow(before.Layers), deltasLow(after.Layers))
			fmt.Fprintf(&table, "| %s | %.2f | %.2f | %.2f |\n", s.title, pulled, top, lower)
		}
		before = after
	}
	return replaceSection(filepath.Join(in.root, "docs", "contract.md"), "orders", table.String())
}

type orderly struct {
	in         *inputs
	dir        string
	base, code string
}

func (o *orderly) build(ctx context.Context, n int, compact bool) (img image, err error) {
	file := filepath.Join(o.dir, "pipeline.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, ordersPipeline, o.in.tree, o.base, o.code), 0o600); err != nil {
		return img, err
	}
	builder, layout, tag := filepath.Join(o.in.root, "bin/builder"), filepath.Join(o.dir, "out.oci"), fmt.Sprint(n)
	args := []string{builder, "build", "-f", file, "--layout", layout, "--tag", tag, "--cache-dir", filepath.Join(o.in.work, "orders-cache")}
	if compact {
		args = append(args, "--compact")
	}
	if err := sh(ctx, "", args...); err != nil {
		return img, err
	}
	raw, err := exec.CommandContext(ctx, builder, "inspect", "oci:"+layout+":"+tag, "--output", "json").Output()
	if err != nil {
		return img, err
	}
	var doc struct{ Platforms []image }
	if err := json.Unmarshal(raw, &doc); err != nil {
		return img, err
	}
	return doc.Platforms[0], nil
}

// deltasLow is the other order: asset layers that lie above another phase move down to the others.
func deltasLow(layers []imageLayer) []imageLayer {
	var assets, rest []imageLayer
	for _, l := range layers {
		if l.Phase == "assets" {
			assets = append(assets, l)
		} else {
			rest = append(rest, l)
		}
	}
	return append(assets, rest...)
}

// cost is what a node that holds before pulls and unpacks for after, in MB of layers.
func cost(before, after []imageLayer) (pulled, unpacked float64) {
	blobs, chains := map[string]bool{}, map[string]bool{}
	for i, chain := range chainIDs(before) {
		blobs[before[i].Digest], chains[chain] = true, true
	}
	for i, chain := range chainIDs(after) {
		if !blobs[after[i].Digest] {
			pulled += float64(after[i].Size) / 1e6
		}
		if !chains[chain] {
			unpacked += float64(after[i].Size) / 1e6
		}
	}
	return pulled, unpacked
}

// chainIDs are by OCI image spec, "Layer ChainID".
func chainIDs(layers []imageLayer) []string {
	out := make([]string, len(layers))
	chain := ""
	for i, l := range layers {
		if chain == "" {
			chain = l.DiffID
		} else {
			chain = fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(chain+" "+l.DiffID)))
		}
		out[i] = chain
	}
	return out
}

// replaceSection writes what was measured between a document's marks.
func replaceSection(file, name, text string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := "<!-- measured: "+name+" -->\n", "<!-- end: "+name+" -->"
	before, rest, ok := strings.Cut(string(raw), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no section %s", file, name)
	}
	return os.WriteFile(file, []byte(before+begin+text+end+after), 0o644)
}
