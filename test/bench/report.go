package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const preamble = `# Benchmarks

Written by ` + "`make bench`" + ` (test/bench) on %s: do not edit. One run on one machine (%d cores, Go %s): compare the ratios, not
the seconds. Input: Debian's supertuxkart-data, %d files; a tree in the page cache; both platforms, linux/amd64 and
linux/arm64. Registry: Debian's docker-registry on loopback behind a counting proxy; a new one for every row of runs. CPU is the
client's and its daemon's, without the registry. Medians of %d runs.

BuildKit v0.34.2 gets 16 ` + "`COPY --link`" + ` layers and the same codec; on the fresh machine it imports a registry cache (mode=max) that
was exported before, not counted. builder finds its lock there, which is in version control. The AWS sample's pattern
copies an archive in six parts, joins and unpacks it in further layers; one platform, one run.
`

func report(in *inputs, runs int, all results, bars []bar) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, preamble, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), strings.TrimPrefix(runtime.Version(), "go"), len(in.files), runs)
	dir := filepath.Join(in.root, "docs", "benchmarks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, scenario := range scenarios {
		fmt.Fprintf(&b, "\n## %s\n\n| | codec | wall s | CPU s | peak MB | pushed MB | requests |\n|---|---|---|---|---|---|---|\n", scenario)
		var picture []column
		for _, k := range all.rows(scenario) {
			f := all.median(k.contender, k.codec, scenario)
			fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.0f | %.1f | %.0f |\n", k.contender, k.codec, f.Wall, f.CPU, f.RSS, f.Pushed, f.Requests)
			picture = append(picture, column{k.contender + ", " + k.codec, f.CPU})
		}
		file := strings.NewReplacer(" ", "-", ",", "").Replace(scenario) + ".svg"
		if err := os.WriteFile(filepath.Join(dir, file), chart("CPU seconds: "+scenario, picture), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n![CPU seconds](benchmarks/%s)\n", file)
	}
	fmt.Fprintf(&b, "\n## Bars\n\n| bar | measured | at most | |\n|---|---|---|---|\n")
	for _, x := range bars {
		fmt.Fprintln(&b, x.row())
	}
	return os.WriteFile(filepath.Join(in.root, "docs", "benchmarks.md"), b.Bytes(), 0o644)
}

// rows lists who was measured in a scenario, codec by codec.
func (r results) rows(scenario string) []key {
	var out []key
	for k := range r {
		if k.scenario == scenario {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b key) int {
		return strings.Compare(order(a.codec)+a.codec+reverse(a.contender), order(b.codec)+b.codec+reverse(b.contender))
	})
	return out
}

// order puts gzip, which only the sample has, last.
func order(codec string) string {
	if codec == "gzip" {
		return "1"
	}
	return "0"
}

// reverse puts us first: our name sorts last.
func reverse(contender string) string {
	if strings.HasPrefix(contender, "pitcrew") {
		return "0"
	}
	return "1" + contender
}

type column struct {
	label string
	value float64
}

// chart draws horizontal bars.
func chart(title string, columns []column) []byte {
	const left, width, row = 300, 420, 26
	most := 0.0
	for _, c := range columns {
		most = max(most, c.value)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", left+width+80, row*len(columns)+40)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="8" y="20" font-weight="bold">%s</text>`+"\n", title)
	for i, c := range columns {
		y := 34 + i*row
		fill := "#9aa5b1"
		if strings.HasPrefix(c.label, "pitcrew") {
			fill = "#2f9e62"
		}
		w := max(1, c.value/most*width)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d">%.2f</text>`+"\n",
			left-8, y+14, c.label, left, y, w, row-8, fill, left+w+6, y+14, c.value)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// row is the bar's line in a table.
func (x bar) row() string {
	verdict := "kept"
	if !x.kept() {
		verdict = "**missed**"
	}
	return fmt.Sprintf("| %s | %.3g%s | %.3g%s | %s |", x.what, x.got, x.unit, x.most, x.unit, verdict)
}
