#!/usr/bin/env bash
# Makes container images of our own programs with our own builder: static binaries for both platforms, then OCI layouts, or a
# push to a registry. The same commit gives the same digests, which are printed.
# Usage: scripts/images.sh [PROGRAM...], with
#   REGISTRY    HOST/PREFIX to push to instead of writing dist/images/PROGRAM; PLAIN_HTTP=1 for one that speaks http
#   TAG         the images' tag; the version by default
#   VERSION     what --version prints; by default, what git describe says
set -euo pipefail
cd "$(dirname "$0")/.."

tags=disable_grpc_modules,grpcnotrace # as in the Makefile
platforms=(linux/amd64 linux/arm64)
programs=("$@")
[ ${#programs[@]} -gt 0 ] || programs=(builder warmer sidecar)

VERSION=${VERSION:-$(git describe --tags --always --dirty)}
TAG=${TAG:-$VERSION}
revision=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

# -buildvcs gives our own module a version in the bills of materials.
compile() { # PLATFORM COMMAND...
  local os=${1%/*} arch=${1#*/}
  mkdir -p "dist/$os-$arch"
  GOOS=$os GOARCH=$arch CGO_ENABLED=0 go build -tags "$tags" -trimpath -buildvcs=true \
    -ldflags "-s -w -X main.version=$VERSION" -o "dist/$os-$arch/" "${@:2}"
}

for platform in "${platforms[@]}"; do
  compile "$platform" "${programs[@]/#/./cmd/}"
done

mkdir -p bin
go build -tags "$tags" -o bin/builder ./cmd/builder

for program in "${programs[@]}"; do
  where=(--layout "dist/images/$program")
  if [ -n "${REGISTRY:-}" ]; then
    where=(--registry "$REGISTRY")
    [ -z "${PLAIN_HTTP:-}" ] || where+=(--plain-http)
  else
    rm -rf "dist/images/$program"
  fi
  bin/builder build -f "images/$program/pipeline.yaml" "${where[@]}" --tag "$TAG" \
    --annotation "org.opencontainers.image.version=$VERSION" \
    --annotation "org.opencontainers.image.revision=$revision" \
    --annotation "org.opencontainers.image.source=https://github.com/pitcrew-dev/pitcrew"
done
