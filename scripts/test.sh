#!/usr/bin/env bash
# Runs every test, those of the charts, too, whose module is their own, and closes with the reason of each skip and the totals.
# Usage: scripts/test.sh [flags of scripts/testsummary]
set -euo pipefail
cd "$(dirname "$0")/.."

summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
go build -o "$summary" ./scripts/testsummary
{
  status=0
  go test -json -timeout 30m ./... || status=1
  (cd test/charts && go test -json -timeout 30m ./...) || status=1
  exit "$status"
} | "$summary" "$@"
