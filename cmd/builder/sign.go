package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pitcrew-dev/pitcrew/builder"
	"github.com/pitcrew-dev/pitcrew/builder/build"
	"github.com/pitcrew-dev/pitcrew/builder/sign"
)

func signCommand(o *options) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "sign REF --key FILE",
		Short: "Sign an image's provenance and bills of materials with a key file, so that cosign verify-attestation accepts them",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := readKey(file)
			if err != nil {
				return err
			}
			repo, reference := cutReference(args[0])
			r, err := o.writable(args[0])
			if err != nil {
				return err
			}
			report, err := sign.Image(cmd.Context(), r, reference, key)
			if err != nil {
				return fmt.Errorf("sign %s: %w", args[0], err)
			}
			return o.print(cmd.OutOrStdout(), report, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s@%s: %d statements signed\n", repo, report.Digest, report.Signed)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&file, "key", "", "private key in PEM: Ed25519 or ECDSA P-256, or cosign's (its password is in COSIGN_PASSWORD)")
	return cmd
}

// signer reads the key of --sign-key, before anything is built; nil without one.
func (j *job) signer() (*sign.Key, error) {
	switch {
	case j.flags.signKey == "":
		return nil, nil
	case j.flags.tarball != "":
		return nil, builder.Errorf(builder.Config, "use --layout or --registry", "--sign-key: nothing is attached to an image in a tarball")
	case len(j.flags.phases) > 0:
		return nil, builder.Errorf(builder.Config, "sign what builder compose makes of the phases", "--sign-key signs server images, not a phase's")
	}
	return readKey(j.flags.signKey)
}

func (j *job) sign(ctx context.Context, key *sign.Key, res *build.Result) error {
	if key == nil {
		return nil
	}
	repo, err := j.builder.Open(j.request.Repository)
	if err != nil {
		return err
	}
	if _, err := sign.Image(ctx, repo, res.Digest, key); err != nil {
		return fmt.Errorf("sign %s: %w", res.Ref, err)
	}
	return nil
}

// writable opens the repository of a reference that is there.
func (o *options) writable(ref string) (builder.Repository, error) {
	if _, _, err := o.open(ref); err != nil {
		return nil, err
	}
	repo, _ := cutReference(ref)
	return o.create(repo)
}

func readKey(file string) (*sign.Key, error) {
	text, err := readKeyFile(file)
	if err != nil {
		return nil, err
	}
	key, err := sign.ParseKey(text, func() ([]byte, error) { return []byte(os.Getenv("COSIGN_PASSWORD")), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

func readPublicKey(file string) (*sign.PublicKey, error) {
	text, err := readKeyFile(file)
	if err != nil {
		return nil, err
	}
	key, err := sign.ParsePublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

func readKeyFile(file string) ([]byte, error) {
	if file == "" {
		return nil, builder.Errorf(builder.Config, "name the key's file with --key", "there is no key")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, builder.Errorf(builder.Config, "", "read key: %w", err)
	}
	return text, nil
}
