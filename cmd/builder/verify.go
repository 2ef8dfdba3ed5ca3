package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/verify"
)

func verifyCommand(o *options) *cobra.Command {
	var f buildFlags
	var key string
	cmd := &cobra.Command{
		Use:   "verify REF [-f pipeline.yaml]",
		Short: "Check an image's digests, diff IDs and contract, and what is attached to it; with -f also rebuild it from its sources and compare",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, reference, err := o.open(args[0])
			if err != nil {
				return err
			}
			check, err := verifyOptions(f.jobs, key)
			if err != nil {
				return err
			}
			report, err := verify.Image(cmd.Context(), r, reference, check)
			if err != nil {
				return fmt.Errorf("verify %s: %w", args[0], err)
			}
			if cmd.Flags().Changed("file") {
				if err := rebuild(cmd, o, f, report); err != nil {
					return err
				}
			}
			err = o.print(cmd.OutOrStdout(), report, func(w io.Writer) error {
				if len(report.Faults) > 0 {
					return nil // they are in the error
				}
				a := report.Attached
				_, err := fmt.Fprintf(w, "%s: %d layers, %s: all is as it says\nattached: %d provenances, %d bills of materials, %d files listed, %d signed statements\n",
					report.Digest, report.Layers, bytesText(report.Bytes), a.Provenances, a.SBOMs, a.Files, a.Signatures)
				return err
			})
			if err != nil {
				return err
			}
			return report.Err()
		},
	}
	f.addTo(cmd.Flags())
	cmd.Flags().StringVar(&key, "key", "", "public key in PEM that must have signed the provenance and bills of materials")
	return cmd
}

func verifyOptions(jobs int, key string) (verify.Options, error) {
	o := verify.Options{Jobs: jobs}
	var err error
	if key != "" {
		o.Key, err = readPublicKey(key)
	}
	return o, err
}

// rebuild makes the image again, with nothing cached, and compares.
func rebuild(cmd *cobra.Command, o *options, f buildFlags, report *verify.Report) error {
	j, err := prepare(cmd, o, f)
	if err != nil {
		return err
	}
	res, err := j.builder.Rebuild(cmd.Context(), j.request)
	if err != nil {
		return builder.Errorf(builder.KindOf(err), "", "rebuild: %w", err)
	}
	if res.Digest != report.Digest {
		report.Faults = append(report.Faults, "the sources and the lock give "+res.Digest+", not this image")
	}
	return nil
}
