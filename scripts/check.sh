#!/usr/bin/env bash
# The checks that need no network and no real input.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
  echo "not formatted (run gofmt -w): $unformatted" >&2
  exit 1
fi
go vet ./...
modern=$(go fix -diff ./... 2>&1 || true)
if [ -n "$modern" ]; then
  echo "$modern" >&2
  echo "older idioms than our Go version has (run: go fix ./...)" >&2
  exit 1
fi
shellcheck scripts/*.sh .ci/run
go mod verify >/dev/null
go test -race -shuffle=on -short ./...
