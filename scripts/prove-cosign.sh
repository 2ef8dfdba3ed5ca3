#!/usr/bin/env bash
# Proves that cosign accepts what builder signs: builds a small image, signs it with each kind of key, and verifies both kinds
# of attestation with the real cosign, which is built from its module. Needs docker-registry and openssl (make installs them).
set -euo pipefail
cd "$(dirname "$0")/.."

version=v3.1.3
cosign=$PWD/.cache/cosign-$version/cosign
if [ ! -x "$cosign" ]; then
  echo "building cosign $version" >&2
  GOBIN=$(dirname "$cosign") go install "github.com/sigstore/cosign/v3/cmd/cosign@$version"
fi

work=$(mktemp -d)
registry=
trap '[ -z "$registry" ] || kill "$registry"; rm -rf "$work"' EXIT

# The registry takes a port of the kernel's and says which.
cat >"$work/registry.yml" <<END
version: 0.1
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:0"}
END
mkfifo "$work/log"
docker-registry serve "$work/registry.yml" >"$work/log" 2>&1 &
registry=$!
port=$(sed -nu 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p;T;q' <"$work/log")
exec 3<"$work/log"
cat <&3 >/dev/null &

mkdir -p "$work/assets" "$work/amd64" "$work/arm64"
head -c 100000 /dev/urandom >"$work/assets/texture.png"
echo amd64 >"$work/amd64/game"
echo arm64 >"$work/arm64/game"
cat >"$work/pipeline.yaml" <<END
apiVersion: pitcrew.dev/v1alpha1
kind: Pipeline
metadata: {name: game}
platforms: [linux/amd64, linux/arm64]
repository: game
tags: ["1"]
phases:
  assets:
    sources: [{dir: {path: assets}, destination: /assets}]
  code:
    sources: [{dir: {path: "\${TARGETARCH}"}}]
END
ref=127.0.0.1:$port/game:1
bin/builder build -f "$work/pipeline.yaml" --registry "127.0.0.1:$port" --plain-http --cache-dir "$work/cache" >/dev/null

export COSIGN_PASSWORD=secret
openssl genpkey -algorithm ed25519 -out "$work/ed25519.key" 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/ecdsa.key" 2>/dev/null
(cd "$work" && "$cosign" generate-key-pair 2>/dev/null)
for kind in ed25519 ecdsa; do
  openssl pkey -in "$work/$kind.key" -pubout -out "$work/$kind.pub"
done

accepted() { # KEY TYPE
  "$cosign" verify-attestation --key "$1" --insecure-ignore-tlog=true --allow-http-registry --type "$2" "$ref" >/dev/null 2>&1
}
for kind in ed25519 ecdsa cosign; do
  for type in slsaprovenance1 spdxjson; do
    if accepted "$work/$kind.pub" "$type"; then
      echo "cosign accepts $type of a key that has not signed yet" >&2
      exit 1
    fi
  done
  bin/builder sign "$ref" --key "$work/$kind.key" --plain-http >/dev/null
  bin/builder verify "$ref" --key "$work/$kind.pub" --plain-http >/dev/null
  for type in slsaprovenance1 spdxjson; do
    accepted "$work/$kind.pub" "$type"
    echo "cosign $version verify-attestation --type $type: a $kind key's signature is accepted"
  done
done
