#!/usr/bin/env bash
# Runs every test and closes with the totals and the reason of each skip.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
go test -json -timeout 30m ./... >"$log" || status=$?
go run ./scripts/testsummary <"$log"
exit "$status"
