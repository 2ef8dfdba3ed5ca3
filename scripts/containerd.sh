#!/usr/bin/env bash
# Makes a containerd available, with its shim and ctr, and prints where the daemon is.
# Usage: scripts/containerd.sh [1|debian]
# Without an argument it is the one that test/containerd pins; 1 is the last 1.x, which test/containerd1 pins; debian is
# the package of the distribution, taken apart rather than installed, so that no service starts.
set -euo pipefail
cd "$(dirname "$0")/.."

build() { # MODULE PREFIX-OF-PACKAGES
  local bin=$PWD/.cache/$1
  (cd "test/$1" && CGO_ENABLED=0 go build -ldflags '-s -w' -o "$bin/" "$2/cmd/containerd" "$2/cmd/containerd-shim-runc-v2" "$2/cmd/ctr")
  echo "$bin/containerd"
}

case "${1:-}" in
  "") build containerd github.com/containerd/containerd/v2 ;;
  1) build containerd1 github.com/containerd/containerd ;;
  debian)
    root=$PWD/.cache/containerd-debian
    if [ ! -x "$root/usr/bin/containerd" ]; then
      mkdir -p "$root"
      (cd "$root" && { apt-get download -qq containerd || { apt-get update -qq && apt-get download -qq containerd; }; }) >&2
      dpkg-deb -x "$root"/containerd_*.deb "$root"
    fi
    echo "$root/usr/bin/containerd"
    ;;
  *)
    echo "usage: scripts/containerd.sh [1|debian]" >&2
    exit 2
    ;;
esac
