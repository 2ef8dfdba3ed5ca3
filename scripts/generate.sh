#!/usr/bin/env bash
# Writes the generated files anew. With --check it says which of them were out of date, and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

fingerprint() {
  git ls-files -z --cached --others --exclude-standard -- docs/schema docs/sidecar.md cmd/sidecar/deps.txt config/crd charts test/charts/testdata ':(glob)**/zz_generated.*.go' ':(glob)**/*.golden' ':(glob)**/*.pb.go' |
    xargs -0 --no-run-if-empty sha256sum 2>/dev/null | sort
}

before=$(fingerprint)
go generate ./...
go test -count=1 ./builder/pipeline -update >&2
go test -count=1 -run TheDocumentedLifeCycle ./sidecar -update >&2
go test -count=1 -run TheMetricsPage ./sidecar/ops ./warmer/ops -update >&2
# The sidecar rides in every game server's pod: what it links is reviewed.
go list -deps -tags grpcnotrace -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' ./cmd/sidecar | sort -u >cmd/sidecar/deps.txt
# What kubectl applies and what the chart installs are the same objects.
rm -rf charts/pitcrew/files/crd charts/pitcrew/files/rbac
cp -r config/crd config/rbac charts/pitcrew/files/
swagger=$(cd test/kube && go mod download k8s.io/kubernetes && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/api/openapi-spec/swagger.json
(cd test/charts && go run ./schemagen "$swagger" ../../charts/*/values.schema.json)
go tool -modfile=tools/helm-docs.mod helm-docs -c charts -s file -l warning
(cd test/charts && go test -count=1 -run 'TestDefaults|TestEachSwitch' . -update >&2)
if [ "${1:-}" = --check ]; then
  changed=$(diff <(echo "$before") <(fingerprint) | awk '/^[<>]/ {print $3}' | sort -u || true)
  if [ -n "$changed" ]; then
    printf 'were out of date; look at the difference and keep it:\n%s\n' "$changed" >&2
    exit 1
  fi
fi
