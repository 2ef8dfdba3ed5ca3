package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/evidence"
	"github.com/pitcrew-dev/pitcrew/builder/inspect"
	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

func sbomCommand(o *options) *cobra.Command {
	var platform string
	cmd := &cobra.Command{
		Use:   "sbom REF --platform OS/ARCH",
		Short: "Print an image's bill of materials (SPDX 2.3), with the digest of every asset file, as one document",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, reference, err := o.open(args[0])
			if err != nil {
				return err
			}
			doc, err := billOf(cmd.Context(), r, reference, platform)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", doc)
			return err
		},
	}
	cmd.Flags().StringVar(&platform, "platform", "", "whose bill (needed if the image has several)")
	return cmd
}

// billOf puts together what is attached to an image and to its platform's manifest.
func billOf(ctx context.Context, r builder.Reader, reference, platform string) ([]byte, error) {
	img, err := inspect.Load(ctx, r, reference)
	if err != nil {
		return nil, err
	}
	manifest, err := manifestOf(img, platform)
	if err != nil {
		return nil, err
	}
	bills, err := evidence.SBOMs(ctx, r, manifest)
	if err != nil {
		return nil, err
	}
	if len(bills) == 0 {
		return nil, builder.Errorf(builder.Input, "build it with this builder", "it has no bill of materials")
	}
	content := bills[len(bills)-1].Content
	files, err := evidence.ReadFileList(ctx, r, img.Descriptor.Digest)
	switch {
	case errors.Is(err, builder.ErrNotFound): // an image without assets
		return content, nil
	case err != nil:
		return nil, err
	}
	return sbom.WithFiles(content, files.Documents)
}

func manifestOf(img *inspect.Image, platform string) (v1.Hash, error) {
	var names []string
	for _, p := range img.Platforms {
		if p.Platform.String() == platform || platform == "" && len(img.Platforms) == 1 {
			return p.Manifest.Digest, nil
		}
		names = append(names, p.Platform.String())
	}
	return v1.Hash{}, builder.Errorf(builder.Config, "use --platform with one of "+strings.Join(names, ", "), "--platform %q is not in the image", platform)
}
