package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

// report prints the table, writes it if asked to, and fails if a round did.
func (o options) report(server, bots image, results []result) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "## %s, %s, profile %s\n\n", o.pipeline, o.platform, o.profile)
	fmt.Fprintf(&out, "A node downloads %s for it, %s of that assets; the whole packaged game is %s with %s of assets.\n\n",
		size(server.pulled), size(server.assets), size(bots.pulled), size(bots.assets))
	fmt.Fprintln(&out, "| mode | tracks | played | tracks on which it failed | lines of the log with an error, by who writes them |")
	fmt.Fprintln(&out, "|---|---|---|---|---|")
	failed := 0
	for _, m := range modes {
		var tracks []string
		var lost []string
		complaints := map[string]int{}
		for _, r := range results {
			if r.mode.number != m.number {
				continue
			}
			tracks = append(tracks, r.track)
			if r.err != nil {
				lost = append(lost, r.track)
			}
			for who, n := range r.complaints {
				complaints[who] += n
			}
		}
		failed += len(lost)
		fmt.Fprintf(&out, "| %s | %d | %d | %s | %s |\n", m.name, len(tracks), len(tracks)-len(lost),
			cmp.Or(strings.Join(lost, ", "), "none"), list(complaints))
	}
	fmt.Printf("\n%s", out.Bytes())
	if o.doc != "" {
		if err := keep(o.doc, out.String()); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d rounds failed", failed, len(results))
	}
	return nil
}

// keep writes a section of a document, in place of the one with the same heading.
func keep(path, section string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	heading, _, _ := strings.Cut(section, "\n")
	var sections []string
	for s := range strings.SplitSeq(string(old), "\n## ") {
		s = "## " + strings.TrimSuffix(strings.TrimPrefix(s, "## "), "\n") + "\n"
		if has, _, _ := strings.Cut(s, "\n"); has != heading && has != "## " {
			sections = append(sections, s)
		}
	}
	all := strings.Join(append(sections, section), "\n")
	return os.WriteFile(path, []byte(all), 0o644) //nolint:gosec // a document
}

func list(counts map[string]int) string {
	var all []string
	for _, who := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b))
	}) {
		all = append(all, fmt.Sprintf("%s %d", who, counts[who]))
	}
	return cmp.Or(strings.Join(all, ", "), "none")
}

func size(n int64) string { return humanize.IBytes(uint64(n)) }
