package container

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// Unpack lays the image's layers over each other into dir, which it creates. Owners are kept when running as root.
func Unpack(ctx context.Context, img v1.Image, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	flat := mutate.Extract(img)
	defer func() {
		if cerr := flat.Close(); err == nil {
			err = cerr
		}
	}()
	args := []string{"-x", "-C", dir, "-f", "-", "--no-same-owner"}
	if os.Geteuid() == 0 {
		args = []string{"-x", "-p", "-C", dir, "-f", "-", "--numeric-owner"}
	}
	tar := exec.CommandContext(ctx, "tar", args...)
	tar.Stdin = flat
	if out, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("unpack into %s: %w: %s", dir, err, out)
	}
	return nil
}
