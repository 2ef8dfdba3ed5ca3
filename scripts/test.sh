#!/usr/bin/env bash
# Runs every test and closes with the reason of each skip and the totals.
# Usage: scripts/test.sh [flags of scripts/testsummary]
set -euo pipefail
cd "$(dirname "$0")/.."

summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
go build -o "$summary" ./scripts/testsummary
go test -json -timeout 30m ./... | "$summary" "$@"
