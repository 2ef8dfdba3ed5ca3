#!/usr/bin/env bash
# Runs every test, those of the charts too, whose module is their own, and closes with the reason of each skip and the totals.
# Where CONTAINERD_1 names a containerd 1.x, what touches containerd is run with that one as well.
# Usage: scripts/test.sh [flags of scripts/testsummary], with MODULE for the folder of one module whose tests alone are wanted
set -euo pipefail
cd "$(dirname "$0")/.."

summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
go build -o "$summary" ./scripts/testsummary

tests() {
  local status=0
  if [ -n "${MODULE:-}" ]; then
    go test -C "$MODULE" -count=1 -json -timeout 30m ./...
    return
  fi
  go test -json -timeout 30m ./... || status=1
  (cd test/charts && go test -json -timeout 30m ./...) || status=1
  if [ -n "${CONTAINERD_1:-}" ]; then
    # What is about clusters says nothing new with it.
    CONTAINERD=$CONTAINERD_1 go test -json -timeout 30m -skip 'Cluster|Gate|ManyNodes|PrivateRegistry|RegistryLoses' ./cmd/warmer || status=1
  fi
  return "$status"
}
tests | "$summary" "$@"
