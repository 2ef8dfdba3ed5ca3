#!/usr/bin/env bash
# Makes everything that a release publishes in dist/release, publishes nothing, and reads all of it back.
# Usage: scripts/release.sh [PROGRAM...], with VERSION as in scripts/images.sh
set -euo pipefail
cd "$(dirname "$0")/.."

out=dist/release
programs=("$@")
[ ${#programs[@]} -gt 0 ] || programs=(builder warmer sidecar)
export VERSION=${VERSION:-$(git describe --tags --always --dirty)}
revision=$(git rev-parse HEAD)
created=$(git log -1 --format=%ct)

REGISTRY='' TAG=$VERSION ./scripts/images.sh "${programs[@]}"

rm -rf "$out"
mkdir -p "$out/bin" "$out/images" "$out/sbom" "$out/charts"
for program in "${programs[@]}"; do
  cp -r "dist/images/$program" "$out/images/"
  bin/builder verify "oci:$out/images/$program:$VERSION"
  for platform in linux/amd64 linux/arm64; do
    name=$program-${platform/\//-}
    cp "dist/${platform/\//-}/$program" "$out/bin/$name"
    bin/builder sbom "oci:$out/images/$program:$VERSION" --platform "$platform" >"$out/sbom/$name.spdx.json"
  done
done

mkdir -p bin
(cd test/release && go build -o ../../bin/release .)
bin/release charts -dir "$out" -version "$VERSION" -created "$created"
rm -f "$out"/images/*/.lock
sums=$(cd "$out" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
echo "$sums" >"$out/SHA256SUMS"
bin/release verify -dir "$out" -version "$VERSION" -revision "$revision"
