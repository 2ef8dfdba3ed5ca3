#!/usr/bin/env bash
# Installs the Debian packages that a make target needs, or says which ones to install.
# Usage: scripts/deps.sh test|check|e2e|demo|demo-source|cosign|buildkit|containerd|bench|bench-warmer
set -euo pipefail

# Each is PACKAGE or PACKAGE:COMMAND; a command that is there counts, however it was installed.
case "${1:-}" in
  test) wanted=(git:git strace:strace make:make g++:g++ g++-aarch64-linux-gnu:aarch64-linux-gnu-g++ skopeo:skopeo umoci:umoci docker-registry:docker-registry qemu-user-static:qemu-aarch64-static runc:runc util-linux:nsenter xz-utils:xz zstd:zstd nftables:nft) ;;
  check) wanted=(git:git shellcheck:shellcheck gcc:gcc libc6-dev) ;; # the race detector links with gcc
  demo-source) wanted=(qemu-user-static:qemu-aarch64-static runc:runc util-linux:nsenter xz-utils:xz zstd:zstd cmake:cmake make:make g++:g++ g++-aarch64-linux-gnu:aarch64-linux-gnu-g++) ;;
  demo) wanted=(qemu-user-static:qemu-aarch64-static runc:runc util-linux:nsenter xz-utils:xz zstd:zstd) ;;
  cosign) wanted=(docker-registry:docker-registry openssl:openssl) ;;
  buildkit) wanted=(runc:runc make:make g++:g++ g++-aarch64-linux-gnu:aarch64-linux-gnu-g++ qemu-user-static:qemu-aarch64-static) ;;
  e2e) wanted=(runc:runc util-linux:nsenter iproute2:ip iptables:iptables containernetworking-plugins xz-utils:xz zstd:zstd) ;;
  containerd) wanted=(runc:runc util-linux:nsenter) ;;
  bench | bench-warmer) wanted=(docker-registry:docker-registry runc:runc) ;;
  *)
    echo "usage: scripts/deps.sh test|check|e2e|demo|demo-source|cosign|buildkit|containerd|bench|bench-warmer" >&2
    exit 2
    ;;
esac

installed() {
  dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

missing=()
for want in "${wanted[@]}"; do
  IFS=: read -r package command <<<"$want"
  if ! { [ -n "$command" ] && command -v "$command" >/dev/null; } && ! installed "$package"; then
    missing+=("$package")
  fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
  echo "Please install what is missing, then try again. On Debian and Ubuntu:" >&2
  echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

# A package brings its program, not a service: policy-rc.d keeps services from being started now, disable from being
# started when the machine boots.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi

fetch() {
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

echo "installing: ${missing[*]}" >&2
for pause in 5 20 60 -; do
  if fetch; then
    if [[ " ${missing[*]} " == *" docker-registry "* ]] && command -v systemctl >/dev/null; then
      "${as_root[@]}" systemctl --quiet disable docker-registry 2>/dev/null || true # systemd need not be running
    fi
    exit 0
  fi
  if [ "$pause" != - ]; then
    echo "apt-get failed; trying again in ${pause}s" >&2
    sleep "$pause"
  fi
done
echo "apt-get could not install: ${missing[*]}" >&2
exit 1
