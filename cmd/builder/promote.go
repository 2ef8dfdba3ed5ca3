package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/publish/layout"
	"github.com/pitcrew-dev/pitcrew/internal/cli"
)

func promoteCommand(o *options) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "promote REF DEST",
		Short: "Give a verified image, with what is attached to it, a place in another repository (DEST: HOST/PATH:TAG or oci:DIR:TAG); prints the digest",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.log = cli.Log(cmd.Context())
			repo, tag, err := cutDestination(args[1])
			if err != nil {
				return err
			}
			from, reference, err := o.open(args[0])
			if err != nil {
				return err
			}
			to, err := o.create(repo)
			if err != nil {
				return err
			}
			fromName, _ := cutReference(args[0])
			check, err := verifyOptions(runtime.GOMAXPROCS(0), key)
			if err != nil {
				return err
			}
			p, err := build.Promote(cmd.Context(), from, fromName, reference, to, tag, check)
			if err != nil {
				return fmt.Errorf("promote %s: %w", args[0], err)
			}
			return o.print(cmd.OutOrStdout(), p, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, p.Ref)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "public key in PEM that must have signed the image's provenance and bills of materials")
	return cmd
}

// cutDestination is cutReference for what is written: it has a tag.
func cutDestination(ref string) (repo, tag string, err error) {
	repo, tag = cutReference(ref)
	if strings.Contains(ref, "@") || !strings.HasSuffix(ref, ":"+tag) || repo == "oci" {
		return "", "", builder.Errorf(builder.Config, "write HOST/PATH:TAG or oci:DIR:TAG", "destination %q has no tag", ref)
	}
	return repo, tag, nil
}

// create opens a repository for writing; an OCI layout is made.
func (o *options) create(repo string) (builder.Repository, error) {
	if dir, ok := strings.CutPrefix(repo, "oci:"); ok {
		return layout.Open(dir)
	}
	return o.client().Repository(repo)
}
