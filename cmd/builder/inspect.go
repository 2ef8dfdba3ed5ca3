package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder/inspect"
)

func validateCommand(o *options) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "validate -f pipeline.yaml",
		Short: "Check a pipeline: every fault at once, with its line",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, _, err := readPipeline(file)
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), p, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s: valid\n", file)
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "pipeline.yaml", "the pipeline")
	return cmd
}

func inspectCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect REF",
		Short: "Show an image's layers, phases and chain IDs (REF: HOST/PATH:TAG, HOST/PATH@DIGEST or oci:DIR:TAG)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			img, err := o.load(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			report := inspect.Describe(img)
			return o.print(cmd.OutOrStdout(), report, func(w io.Writer) error { return printReport(w, report) })
		},
	}
}

func (o *options) load(ctx context.Context, ref string) (*inspect.Image, error) {
	r, reference, err := o.open(ref)
	if err != nil {
		return nil, err
	}
	img, err := inspect.Load(ctx, r, reference)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return img, nil
}

func printReport(w io.Writer, r inspect.Report) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PLATFORM\tPHASE\tSIZE\tSHARED\tDIGEST\tCHAIN ID")
	for _, p := range r.Platforms {
		for _, l := range p.Layers {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%t\t%.19s\t%.19s\n", p.Platform, l.Phase, bytesText(l.Size), l.Shared, l.Digest, l.ChainID)
		}
	}
	fmt.Fprintf(tw, "\nindex %s: %s stored, %s if the platforms shared nothing\n", r.Index, bytesText(r.StoredBytes), bytesText(r.NaiveBytes))
	return tw.Flush()
}

func diffCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Show what a node that holds OLD pulls and unpacks to hold NEW",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, err := o.load(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			next, err := o.load(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			d := inspect.Compare(old, next)
			return o.print(cmd.OutOrStdout(), d, func(w io.Writer) error {
				for _, p := range d.Platforms {
					fmt.Fprintf(w, "%s: pulls %s, reuses %s, unpacks %s (%d layers, phases %v)\n",
						p.Platform, bytesText(p.PullBytes), bytesText(p.ReusedBytes), bytesText(p.UnpackBytes), len(p.Layers), p.Phases())
				}
				return nil
			})
		},
	}
}
