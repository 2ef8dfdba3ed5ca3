//go:build tools

// Package buildkit pins the BuildKit that the benchmark compares with.
package buildkit

import (
	_ "github.com/moby/buildkit/cmd/buildctl"
	_ "github.com/moby/buildkit/cmd/buildkitd"
)
