package containerd

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-dev/pitcrew/warmer"
)

// Disk looks at the file system that the snapshots lie on.
func (r *Runtime) Disk(context.Context) (warmer.Disk, error) {
	if r.root == "" {
		return warmer.Disk{}, fmt.Errorf("disk: containerd does not say where it keeps its data: %w", warmer.ErrNotSupported)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(r.root, &s); err != nil {
		return warmer.Disk{}, fmt.Errorf("disk: %s: %w", r.root, err)
	}
	return warmer.Disk{Free: int64(s.Bavail) * s.Bsize, Total: int64(s.Blocks) * s.Bsize}, nil
}
