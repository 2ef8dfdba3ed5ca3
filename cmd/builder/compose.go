package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder"
)

func composeCommand(o *options) *cobra.Command {
	var f buildFlags
	var from []string
	cmd := &cobra.Command{
		Use:   "compose -f pipeline.yaml [--from PHASE=REF]...",
		Short: "Make the server image of phase images that were built before, perhaps on several machines",
		Long: "Make the server image of phase images that were built before (builder build --phase P [--platform OS/ARCH]), without\n" +
			"making a layer. A phase's image is found by the input digest of its sources, or named with --from; it is taken by\n" +
			"digest, never by a tag that moves.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			refs, err := phaseRefs(from)
			if err != nil {
				return err
			}
			j, err := prepare(cmd, o, f)
			if err != nil {
				return err
			}
			key, err := j.signer()
			if err != nil {
				return err
			}
			res, err := j.builder.Compose(cmd.Context(), j.request, refs)
			j.remember()
			if err != nil {
				return err
			}
			if err := j.sign(cmd.Context(), key, res); err != nil {
				return err
			}
			return j.printResult(cmd.OutOrStdout(), res)
		},
	}
	f.addTo(cmd.Flags())
	f.addSigning(cmd.Flags())
	cmd.Flags().StringArrayVar(&from, "from", nil, "PHASE=REF: take this image of the phase (may be repeated)")
	return cmd
}

func phaseRefs(from []string) (map[builder.Phase]string, error) {
	refs := map[builder.Phase]string{}
	for _, f := range from {
		name, ref, _ := strings.Cut(f, "=")
		if phase := builder.Phase(name); phase.Valid() && strings.ContainsAny(ref, ":@") {
			refs[phase] = ref
			continue
		}
		return nil, builder.Errorf(builder.Config, "for example --from assets=registry.example.com/stk-assets@sha256:…", "--from %q is not PHASE=REF", f)
	}
	return refs, nil
}
