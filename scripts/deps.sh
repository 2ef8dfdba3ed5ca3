#!/usr/bin/env bash
# Installs the Debian packages that a make target needs, or says which ones to install.
# Usage: scripts/deps.sh test|check|demo
set -euo pipefail

case "${1:-}" in
  test | demo) wanted=(skopeo umoci qemu-user-static runc xz-utils zstd tar) ;;
  check) wanted=(shellcheck) ;;
  *)
    echo "usage: scripts/deps.sh test|check|demo" >&2
    exit 2
    ;;
esac

missing=()
for package in "${wanted[@]}"; do
  if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$'; then
    missing+=("$package")
  fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    echo "Please install what is missing, then try again:" >&2
    echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo -n)
fi
echo "installing: ${missing[*]}" >&2
for attempt in 1 2 3; do
  if "${as_root[@]}" apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
    exit 0
  fi
  echo "apt-get failed (attempt $attempt)" >&2
done
exit 1
