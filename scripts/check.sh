#!/usr/bin/env bash
# The checks that need no real input, and no network once modules and tools are there. All of them run, so that one
# round shows every fault.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

tool() { go tool -modfile=tools/go.mod "$@"; }

faults=()
check() {
  local name=$1
  shift
  echo "check: $name" >&2
  "$@" || faults+=("$name")
}

formatted() {
  local diff
  diff=$(tool golangci-lint fmt --diff) && [ -z "$diff" ] && return
  printf '%s\nrun: make format\n' "$diff" >&2
  return 1
}

# Some tests are modules of their own.
modules=(test/charts test/e2e)

in_modules() {
  local module
  for module in "${modules[@]}"; do
    (cd "$module" && "$@") || return
  done
}

vetted() {
  go vet ./... && in_modules go vet ./...
}

modern() {
  local diff
  diff=$(go fix -diff ./... 2>&1 && in_modules go fix -diff ./... 2>&1) && [ -z "$diff" ] && return
  printf '%s\nrun: go fix ./..., in %s as well\n' "$diff" "${modules[*]}" >&2
  return 1
}

lint() {
  tool golangci-lint config verify && tool golangci-lint run ./... &&
    in_modules go tool -modfile=../../tools/go.mod golangci-lint run ./...
}

scripts() {
  shellcheck scripts/*.sh .ci/run && tool shfmt -d -i 2 -ci scripts/*.sh .ci/run
}

workflows() {
  [ ! -d .github/workflows ] || go tool -modfile=tools/actionlint.mod actionlint
}

# The daemons that CI builds are for make test: here they would cost minutes and find nothing new.
race() {
  env -u BUILDKITD -u CONTAINERD -u KUBE_BINARIES go test -race -shuffle=on -short -timeout 30m ./... | grep -v '\[no test files\]'
}

check "format" formatted
check "go vet" vetted
check "go fix" modern
check "golangci-lint" lint
check "import rules" go test -count=1 ./internal/archtest
check "scripts" scripts
check "workflows" workflows
check "modules" go mod verify
check "generated files" ./scripts/generate.sh --check
check "tests with the race detector" race

if [ ${#faults[@]} -gt 0 ]; then
  printf 'check failed: %s\n' "${faults[@]}" >&2
  exit 1
fi
echo "all checks passed" >&2
