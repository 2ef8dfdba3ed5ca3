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

const warmPreamble = `# Benchmarks of the warmer

Written by ` + "`make bench-warmer`" + ` (test/bench) on %s: do not edit. One run on one machine (%d cores, Go %s): compare the ratios, not
the seconds. One containerd 2.4.2 and one Debian docker-registry, both on this machine and in its page cache, are pulled
from and to by all in turn, another one first in each round; between pulls every image, blob and snapshot is removed. Medians of %d rounds.
CPU is the client's and containerd's; peak is the client's memory. The machine's load average at the end was %s: above the number of
cores, whoever needs more CPU waits longer than on a machine of its own.

The image is the whole SuperTuxKart server (Debian's 1.4, all assets). Ours is made by builder: assets in 32 layers at the bottom, stored or in
zstd. In "one gzip layer" they are one layer, as a Dockerfile's COPY makes it, and everything is gzip. The AWS sample's pattern has them as parts, joined and
unpacked in further layers (without any base system, which is to its advantage). ctr is run as ` + "`ctr -n k8s.io images pull`" + `, with containerd's defaults.
While nothing is limited the warmer has containerd fetch; "fetched by itself" is how it fetches under a limit, here without one, and how the agent's memory is measured.
`

func (w *warmings) report(in *inputs, bars []bar) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, warmPreamble, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), strings.TrimPrefix(runtime.Version(), "go"), w.rounds, load())
	var picture []column
	fmt.Fprintf(&b, "\n## Cold: pull and unpack\n\n| | wall s | over ours | CPU s | peak MB |\n|---|---|---|---|---|\n")
	for _, p := range pullers {
		f := medians(w.cold[p.name])
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f | %.0f |\n", p.name, f.Wall, 1/w.ratio(p.name), f.CPU, f.RSS)
		picture = append(picture, column{p.name, f.Wall})
	}
	dir := filepath.Join(in.root, "docs", "benchmarks")
	if err := os.WriteFile(filepath.Join(dir, "warmer-cold.svg"), chart("Seconds: cold pull and unpack", picture), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n![seconds](benchmarks/warmer-cold.svg)\n\nTo read the same %.0f MB, sha256 and write them, with all processors and without network, containerd or unpacking, takes "+
		"%.2f s at best; a pull that also unpacks writes most bytes twice. The warmer's pull takes %.1f times as long.\n", w.limitMB, w.limit, medians(w.cold[warmerOurs]).Wall/w.limit)
	fmt.Fprintf(&b, "\n## Upgrade: one texture and the program changed\n\n| | wall s | MB from the registry |\n|---|---|---|\n")
	for _, p := range pullers {
		f := medians(w.upgrade[p.name])
		fmt.Fprintf(&b, "| %s | %.2f | %.2f |\n", p.name, f.Wall, f.Pushed)
	}
	fmt.Fprintf(&b, "\n## Warm\n\n| | |\n|---|---|\n")
	fmt.Fprintf(&b, "| `warmer pull` of a digest that is warm | %.0f ms |\n| of a tag (one HEAD) | %.0f ms |\n", median(w.byName)*1e3, median(w.byTag)*1e3)
	fmt.Fprintf(&b, "| agent, peak memory until the image was warm | %.1f MB |\n| the same with the AWS sample's image, three times as big | %.1f MB |\n", w.agent.peak, w.bigger.peak)
	fmt.Fprintf(&b, "| agent, CPU in %.0f s with nothing to do | %.2f s |\n", w.agent.over.Seconds(), w.agent.idle)
	w.reportBeside(&b)
	fmt.Fprintf(&b, "\n## Bars\n\n| bar | measured | at most | |\n|---|---|---|---|\n")
	for _, x := range bars {
		fmt.Fprintln(&b, x.row())
	}
	return os.WriteFile(filepath.Join(in.root, "docs", "benchmarks-warmer.md"), b.Bytes(), 0o644)
}

// reportBeside is the table of what a match would notice.
func (w *warmings) reportBeside(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## Beside a match\n\nWhat a game server would notice, each for %.0f s, while our image is pulled over and over: how late it wakes up for ticks at 120 Hz, and how long it takes to read a block that is "+
		"not in memory, and to write a line that has to last. The pace beside players is the chart's: 10 MiB/s, one layer fetched and one unpacked at a time. Milliseconds.\n\n", besideTime.Seconds())
	fmt.Fprintf(b, "| beside | tick p50 | p99 | worst | read p50 | p99 | write p50 | p99 |\n|---|---|---|---|---|---|---|---|\n")
	for _, x := range w.beside {
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", x.name, percentile(x.ticks, 50), percentile(x.ticks, 99), percentile(x.ticks, 100),
			percentile(x.reads, 50), percentile(x.reads, 99), percentile(x.writes, 50), percentile(x.writes, 99))
	}
}

// load is the average of the last quarter of an hour.
func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(raw))
	if err != nil || len(fields) < 3 {
		return "not known"
	}
	return fields[2]
}

// medians has the median of every figure.
func medians(all []figures) figures {
	k := key{}
	return results{k: all}.median(k.contender, k.codec, k.scenario)
}

// ratio is the warmer's time over another's, the median of the rounds.
func (w *warmings) ratio(other string) float64 {
	var v []float64
	for i, f := range w.cold[warmerOurs] {
		v = append(v, f.Wall/w.cold[other][i].Wall)
	}
	return median(v)
}

func (w *warmings) bars() []bar {
	moved := medians(w.upgrade[warmerOurs]).Pushed
	var peak float64
	for _, f := range slices.Concat(w.cold[warmerAlone], w.cold[warmerOurs]) {
		peak = max(peak, f.RSS)
	}
	const faster, fewer = 1 / 1.5, 1.0 / 50
	const megabytes = 64
	return []bar{
		{"cold, wall time over ctr's on one gzip layer", w.ratio(ctrPlain), faster, ""},
		{"cold, wall time over ctr's on the AWS sample's pattern", w.ratio(ctrSample), faster, ""},
		{"cold, wall time over ctr's on our image", w.ratio(ctrOurs), 1, ""},
		{"upgrade, bytes over those of the AWS sample's pattern", moved / medians(w.upgrade[ctrSample]).Pushed, fewer, ""},
		{"upgrade, bytes over those with one gzip layer", moved / medians(w.upgrade[ctrPlain]).Pushed, fewer, ""},
		{"warm, by digest", median(w.byName) * 1e3, 100, " ms"},
		{"warm, by tag", median(w.byTag) * 1e3, 100, " ms"},
		{"pull, peak memory of all rounds", peak, megabytes, " MB"},
		{"agent, peak memory", w.agent.peak, megabytes, " MB"},
		{"agent, peak memory with an image three times as big", w.bigger.peak, megabytes, " MB"},
		{"agent, share of a core with nothing to do", max(w.agent.idle, 0.01) / w.agent.over.Seconds() * 100, 0.1, " %"},
	}
}
