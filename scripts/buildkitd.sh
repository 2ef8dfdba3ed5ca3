#!/usr/bin/env bash
# Builds the BuildKit daemon that the benchmark's module pins, and prints where it is.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$PWD/.cache/buildkit
(cd test/bench/buildkit && CGO_ENABLED=0 go build -o "$bin/" github.com/moby/buildkit/cmd/buildkitd)
echo "$bin/buildkitd"
