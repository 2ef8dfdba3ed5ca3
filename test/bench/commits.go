package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// commits is how many artists' commits are replayed.
const commits = 60

// strategy is one way to build every commit.
type strategy struct {
	contender
	title  string
	pushed []float64 // MB, by commit
}

// replay sends the same history of the tree through builder with its lock, builder without (a fixed cut), and BuildKit.
func replay(ctx context.Context, in *inputs) error {
	log, fixed := &pitcrew{in: in, codec: "none"}, &pitcrew{in: in, codec: "none", extra: []string{"--compact"}}
	all := []*strategy{
		{contender: log, title: "pitcrew builder"},
		{contender: fixed, title: "fixed split (builder --compact)"},
		{contender: newBuildKit(in, "none"), title: "BuildKit, 16 COPY --link"},
	}
	for _, s := range all {
		reg, err := startRegistry(ctx, in.work)
		if err != nil {
			return err
		}
		defer reg.stop()
		defer s.stop()
		if err := s.start(ctx, reg); err != nil {
			return err
		}
		if _, err := s.build(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	h, err := newHistory(in)
	if err != nil {
		return err
	}
	var over []float64
	for i := range commits {
		if err := h.commit(); err != nil {
			return err
		}
		for _, s := range all {
			f, err := s.build(ctx)
			if err != nil {
				return fmt.Errorf("commit %d (%s): %s: %w", i, h.kinds[i], s.title, err)
			}
			s.pushed = append(s.pushed, f.Pushed)
		}
		pull, err := pullMB(ctx, in, log.reg)
		if err != nil {
			return err
		}
		alone, err := pullMB(ctx, in, fixed.reg)
		if err != nil {
			return err
		}
		over = append(over, (pull/alone-1)*100)
		fmt.Fprintf(os.Stderr, "  commit %2d %-8s changed %6.2f MB  pushed %7.2f  %7.2f  %7.2f MB  over-pull %.1f %%\n", i+1, h.kinds[i], h.changed[i],
			all[0].pushed[i], all[1].pushed[i], all[2].pushed[i], over[i])
	}
	bars := []bar{
		{"total pushed over changed bytes", sum(all[0].pushed) / sum(h.changed), 1.4, ""},
		{"median commit, pushed", middle(all[0].pushed), 1, " MB"},
		{"over-pull of a fresh node, at worst", slices.Max(over), 6, " %"},
	}
	if err := reportReplay(in, h, all, over, bars); err != nil {
		return err
	}
	return failed(bars)
}

// pullMB is what a cold amd64 node pulls.
func pullMB(ctx context.Context, in *inputs, reg *registry) (float64, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(in.root, "bin/builder"), "inspect", reg.host+"/bench/stk:1", "--plain-http", "--output", "json")
	raw, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	var doc struct{ Platforms []struct{ PullBytes int64 } }
	if err := json.Unmarshal(raw, &doc); err != nil {
		return 0, err
	}
	return float64(doc.Platforms[0].PullBytes) / 1e6, nil
}

// history makes commits: three of four edit files of a few folders, where the team is at work just now; the others add a
// track, rename, delete, or touch one file in a hundred.
type history struct {
	in      *inputs
	r       *rand.Rand
	files   []string // below the tree
	hot     []string // folders
	tracks  []string // folders of tracks of 1 to 9 MB
	kinds   []string
	changed []float64 // MB: bytes of files that were edited, added or renamed
	n       int
}

func newHistory(in *inputs) (*history, error) {
	h := &history{in: in, r: rand.New(rand.NewPCG(60, 1))}
	return h, h.load()
}

func (h *history) load() error {
	sizes := map[string]int64{}
	err := filepath.WalkDir(h.in.tree, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h.files = append(h.files, name)
		sizes[filepath.Dir(name)] += info.Size()
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(h.files)
	var folders []string
	for dir, size := range sizes {
		folders = append(folders, dir)
		if filepath.Base(filepath.Dir(dir)) == "tracks" && size > 1e6 && size < 9e6 {
			h.tracks = append(h.tracks, dir)
		}
	}
	slices.Sort(folders)
	slices.Sort(h.tracks)
	for range 12 {
		h.hot = append(h.hot, folders[h.r.IntN(len(folders))])
	}
	return nil
}

func (h *history) commit() error {
	h.n++
	before := 0.0
	kind, edit := "edit", h.editHot
	switch x := h.r.IntN(100); {
	case x < 75:
	case x < 87:
		kind, edit = "track", h.addTrack
	case x < 93:
		kind, edit = "rename", h.rename
	case x < 97:
		kind, edit = "delete", h.remove
	default:
		kind, edit = "scatter", h.scatter
	}
	h.kinds, h.changed = append(h.kinds, kind), append(h.changed, before)
	return edit()
}

func (h *history) count(n int) { h.changed[len(h.changed)-1] += float64(n) / 1e6 }

// touch changes 64 bytes of a file to what they never were.
func (h *history) touch(name string) error {
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	h.n++
	stamp := fmt.Appendf(nil, "commit %064d", h.n)
	raw = append(raw[:min(len(raw)/2, len(raw))], append(stamp, raw[min(len(raw), len(raw)/2+len(stamp)):]...)...)
	h.count(len(raw))
	return os.WriteFile(name, raw, 0o644)
}

func (h *history) editHot() error {
	dir := h.hot[h.r.IntN(len(h.hot))]
	if h.r.IntN(6) == 0 { // work goes on elsewhere
		h.hot[h.r.IntN(len(h.hot))] = filepath.Dir(h.files[h.r.IntN(len(h.files))])
	}
	var in []string
	for _, f := range h.files {
		if filepath.Dir(f) == dir {
			in = append(in, f)
		}
	}
	for range min(len(in), 1+h.r.IntN(3)) {
		if err := h.touch(in[h.r.IntN(len(in))]); err != nil {
			return err
		}
	}
	return nil
}

// addTrack is a copy of a track in which no file is the same.
func (h *history) addTrack() error {
	from := h.tracks[h.r.IntN(len(h.tracks))]
	to := fmt.Sprintf("%s-%d", from, h.n)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, f := range slices.Clone(h.files) {
		if filepath.Dir(f) != from {
			continue
		}
		dst := filepath.Join(to, filepath.Base(f))
		if err := copyFile(f, dst); err != nil {
			return err
		}
		if err := h.touch(dst); err != nil {
			return err
		}
		h.files = append(h.files, dst)
	}
	slices.Sort(h.files)
	return nil
}

func (h *history) rename() error {
	i := h.r.IntN(len(h.files))
	to := filepath.Join(filepath.Dir(h.files[i]), fmt.Sprintf("renamed-%d-%s", h.n, filepath.Base(h.files[i])))
	info, err := os.Stat(h.files[i])
	if err != nil {
		return err
	}
	h.count(int(info.Size()))
	if err := os.Rename(h.files[i], to); err != nil {
		return err
	}
	h.files[i] = to
	slices.Sort(h.files)
	return nil
}

func (h *history) remove() error {
	for range 1 + h.r.IntN(4) {
		i := h.r.IntN(len(h.files))
		if err := os.Remove(h.files[i]); err != nil {
			return err
		}
		h.files = slices.Delete(h.files, i, i+1)
	}
	return nil
}

func (h *history) scatter() error {
	for range len(h.files) / 100 {
		if err := h.touch(h.files[h.r.IntN(len(h.files))]); err != nil {
			return err
		}
	}
	return nil
}

func sum(v []float64) (n float64) {
	for _, x := range v {
		n += x
	}
	return n
}

func middle(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

const replayPreamble = `# %d artists' commits

Written by ` + "`make bench-commits`" + ` (test/bench) on %s: do not edit. One run on one machine (%d cores, Go %s). A history of SuperTuxKart's
data: three of four commits edit one to three files of the folders where work goes on, the others add a track, rename, delete, or touch
one file in a hundred. Every commit is built and pushed for two platforms, stored without compression, to Debian's docker-registry
behind a counting proxy. Changed bytes are those of files that were edited, added or renamed. Over-pull is what a node that has
nothing pulls more than of an image without history.

| | total pushed MB | over changed bytes | median commit MB | 90 %% of commits below MB | largest MB |
|---|---|---|---|---|---|
| changed | %.1f | 1 | %.2f | %.2f | %.1f |
`

func reportReplay(in *inputs, h *history, all []*strategy, over []float64, bars []bar) error {
	var b bytes.Buffer
	ninety := func(v []float64) float64 {
		v = slices.Clone(v)
		slices.Sort(v)
		return v[len(v)*9/10]
	}
	fmt.Fprintf(&b, replayPreamble, commits, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), strings.TrimPrefix(runtime.Version(), "go"),
		sum(h.changed), middle(h.changed), ninety(h.changed), slices.Max(h.changed))
	lines := []line{{"changed", "#555", cumulate(h.changed)}}
	for i, s := range all {
		fmt.Fprintf(&b, "| %s | %.1f | %.2f | %.2f | %.2f | %.1f |\n", s.title, sum(s.pushed), sum(s.pushed)/sum(h.changed), middle(s.pushed), ninety(s.pushed), slices.Max(s.pushed))
		lines = append(lines, line{s.title, []string{"#2f9e62", "#d08770", "#9aa5b1"}[i], cumulate(s.pushed)})
	}
	fmt.Fprintf(&b, "\n![pushed](benchmarks/commits-pushed.svg)\n\n![over-pull](benchmarks/commits-over-pull.svg)\n\n| bar | measured | at most | |\n|---|---|---|---|\n")
	for _, x := range bars {
		fmt.Fprintln(&b, x.row())
	}
	dir := filepath.Join(in.root, "docs", "benchmarks")
	for name, content := range map[string][]byte{
		filepath.Join(dir, "commits-pushed.svg"):                plot("MB pushed, in all", lines, true),
		filepath.Join(dir, "commits-over-pull.svg"):             plot("over-pull of a node that has nothing, %", []line{{"pitcrew builder", "#2f9e62", over}}, false),
		filepath.Join(in.root, "docs", "benchmarks-commits.md"): b.Bytes(),
	} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func cumulate(v []float64) []float64 {
	out := make([]float64, len(v))
	total := 0.0
	for i, x := range v {
		total += x
		out[i] = total
	}
	return out
}
