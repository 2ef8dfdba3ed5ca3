package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

// planHasChanges is the exit code of a plan that is not empty, as terraform's detailed exit code.
const planHasChanges = 10

func planCommand(o *options) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "plan -f pipeline.yaml [--registry HOST/PREFIX | --layout DIR]",
		Short: "Show what a build would push, what nodes would pull, and which paths are the reason; exit code 10 if anything",
		Long: "Show what a build would push, what a node that has the present image and one that has none would pull, and which\n" +
			"paths cause which new layers. Nothing is published; what is needed from mirrors is fetched into the cache.\n\n" +
			"Exit codes: 0 no change, 10 changes, 6 a budget would be exceeded, others as for build.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			j, err := prepare(cmd, o, f)
			if err != nil {
				return err
			}
			p, err := j.builder.Plan(cmd.Context(), j.request)
			j.remember()
			if err != nil {
				return err
			}
			if err := o.printPlan(cmd.OutOrStdout(), p); err != nil {
				return err
			}
			switch {
			case p.Problem != nil:
				return p.Problem
			case p.Changes:
				return cli.Exit(planHasChanges)
			}
			return nil
		},
	}
	f.addTo(cmd.Flags())
	f.addHistory(cmd.Flags())
	return cmd
}

func (o *options) printPlan(w io.Writer, p *build.Plan) error {
	if o.output == "markdown" {
		return printMarkdown(w, p)
	}
	return o.print(w, p, func(w io.Writer) error { return printPlanText(w, p) })
}

func printPlanText(w io.Writer, p *build.Plan) error {
	if !p.Changes {
		_, err := fmt.Fprintf(w, "%s is up to date: %s\n", p.Ref, p.Digest)
		return err
	}
	fmt.Fprintf(w, "%s would become %s\n  push %s", p.Ref, p.Digest, bytesText(p.PushBytes))
	if p.FetchedBytes > 0 {
		fmt.Fprintf(w, ", fetched %s for the plan", bytesText(p.FetchedBytes))
	}
	fmt.Fprintln(w)
	for _, n := range p.Nodes {
		fmt.Fprintf(w, "  %s: a node with the present image pulls %s, a cold one %s\n", n.Platform, bytesText(n.WarmBytes), bytesText(n.ColdBytes))
	}
	for _, ph := range p.Phases {
		state := "some layers are new"
		if ph.Cached {
			state = "nothing to make"
		}
		fmt.Fprintf(w, "phase %s: %s (%d layers, input %.19s): %s\n", ph.Name, state, ph.Layers, ph.InputDigest, ph.Reason)
	}
	for _, l := range p.Layers {
		fmt.Fprintf(w, "new layer %.19s: %s %s, %s\n", l.Digest, l.Phase, strings.Join(l.Platforms, " "), bytesText(l.Size))
		for _, c := range l.Causes {
			fmt.Fprintf(w, "  %-8s %s\n", c.Change, c.Path)
		}
		if more := l.CauseCount - len(l.Causes); more > 0 {
			fmt.Fprintf(w, "  … and %d more\n", more)
		}
	}
	return nil
}

// printMarkdown is for a pull request's comment. Paths are an artist's: they go into code spans only.
func printMarkdown(w io.Writer, p *build.Plan) error {
	if !p.Changes {
		_, err := fmt.Fprintf(w, "**%s**: no change\n", p.Ref)
		return err
	}
	fmt.Fprintf(w, "**%s** would change: push %s\n\n", p.Ref, bytesText(p.PushBytes))
	fmt.Fprintf(w, "| node | has the present image | has nothing |\n|---|---|---|\n")
	for _, n := range p.Nodes {
		fmt.Fprintf(w, "| %s | %s | %s |\n", n.Platform, bytesText(n.WarmBytes), bytesText(n.ColdBytes))
	}
	fmt.Fprintf(w, "\n| new layer | phase | size | because of |\n|---|---|---|---|\n")
	for _, l := range p.Layers {
		var causes []string
		for _, c := range l.Causes {
			causes = append(causes, fmt.Sprintf("%s %s", c.Change, codeSpan(c.Path)))
		}
		if more := l.CauseCount - len(l.Causes); more > 0 {
			causes = append(causes, fmt.Sprintf("and %d more", more))
		}
		fmt.Fprintf(w, "| `%.19s` | %s | %s | %s |\n", l.Digest, l.Phase, bytesText(l.Size), strings.Join(causes, "<br>"))
	}
	if p.Problem != nil {
		fmt.Fprintf(w, "\n**Over budget**: %s\n", p.Problem)
	}
	return nil
}

// codeSpan shows a path in a table's cell, whatever it holds.
func codeSpan(path string) string {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == '`' || r == '|' {
			return '?'
		}
		return r
	}, path)
	return "`" + clean + "`"
}
