#!/usr/bin/env bash
# Builds the containerd that test/containerd pins, with its shim and ctr, and prints where the daemon is.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$PWD/.cache/containerd
(cd test/containerd && CGO_ENABLED=0 go build -ldflags '-s -w' -o "$bin/" \
  github.com/containerd/containerd/v2/cmd/containerd \
  github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2 \
  github.com/containerd/containerd/v2/cmd/ctr)
echo "$bin/containerd"
