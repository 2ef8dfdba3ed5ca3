package containerd

import (
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// problem makes containerd's errors match those of the domain.
func problem(err error) error {
	switch {
	case err == nil:
		return nil
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%w: %w", err, warmer.ErrNotFound)
	case errdefs.IsNotImplemented(err):
		return fmt.Errorf("%w: %w", err, warmer.ErrNotSupported)
	case errdefs.IsPermissionDenied(err):
		return fmt.Errorf("%w: %w", err, warmer.ErrDenied)
	case errdefs.IsUnavailable(err):
		return fmt.Errorf("%w: %w", err, warmer.ErrUnavailable)
	}
	return err
}
