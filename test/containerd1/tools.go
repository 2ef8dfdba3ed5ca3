//go:build tools

// Package containerd1 pins the last containerd 1.x, which tests run besides the present one: many clusters still have it.
package containerd1

import (
	_ "github.com/containerd/containerd/cmd/containerd"
	_ "github.com/containerd/containerd/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/cmd/ctr"
)
