// Command bench measures bin/builder against BuildKit on the real SuperTuxKart data, both in one run on one machine,
// pushing to Debian's docker-registry behind a proxy that counts. It writes docs/benchmarks.md and its pictures, and
// fails if a bar is missed. Run it with `make bench`. With -warmer it measures bin/warmer against ctr: `make bench-warmer`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	runs := flag.Int("runs", 3, "how often each scenario is measured; medians are reported")
	sample := flag.Bool("sample", true, "also measure the AWS sample's Dockerfile pattern, once: it takes minutes")
	history := flag.Bool("commits", false, "replay artists' commits instead, into docs/benchmarks-commits.md")
	rounds := flag.Int("rounds", 5, "with -warmer: how often each pull is measured")
	node := flag.Bool("warmer", false, "measure bin/warmer on a containerd instead, into docs/benchmarks-warmer.md")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *node {
		err = warming(ctx, *rounds)
	} else {
		err = run(ctx, *runs, *sample, *history)
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, runs int, sample, history bool) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	in, err := prepare(ctx, root)
	if err != nil {
		return err
	}
	if history {
		if err := orders(ctx, in); err != nil {
			return fmt.Errorf("orders of layers: %w", err)
		}
		if in, err = prepare(ctx, root); err != nil { // the tree as it was
			return err
		}
		return replay(ctx, in)
	}
	var all results
	for i := range runs {
		for _, codec := range []string{"none", "zstd"} {
			fmt.Fprintf(os.Stderr, "run %d of %d: %s\n", i+1, runs, codec)
			for _, c := range []contender{newBuilder(in, codec), newBuildKit(in, codec)} {
				if err := all.measure(ctx, in, c, codec); err != nil {
					return fmt.Errorf("%s with %s: %w", c.name(), codec, err)
				}
			}
		}
	}
	if sample {
		fmt.Fprintln(os.Stderr, "the AWS sample's pattern")
		if err := all.measure(ctx, in, newSample(in), "gzip"); err != nil {
			return fmt.Errorf("the AWS sample's pattern: %w", err)
		}
	}
	bars := all.bars()
	if err := report(in, runs, all, bars); err != nil {
		return err
	}
	return failed(bars)
}
