#!/usr/bin/env bash
# Runs every test of a module and closes with the reason of each skip and the totals.
# Usage: scripts/test.sh FOLDER [flags of scripts/testsummary], with TESTFLAGS for go test
set -euo pipefail
cd "$(dirname "$0")/.."

summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
go build -o "$summary" ./scripts/testsummary
read -ra flags <<<"${TESTFLAGS:-}"
go test -C "$1" -json -timeout 30m "${flags[@]}" ./... | "$summary" "${@:2}"
