#!/usr/bin/env bash
# Builds the Kubernetes that test/kube pins, and a containerd that says arm64, and prints the folder that all of it is in:
# what a cluster of test/e2e consists of.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(./scripts/kube-apiserver.sh)
containerd=$(dirname "$(./scripts/containerd.sh)")
ln -sf "$containerd"/{containerd,containerd-shim-runc-v2,ctr} "$bin/"

cd test/kube
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
flags="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
CGO_ENABLED=0 go build -ldflags "-s -w $flags" -o "$bin/" \
  k8s.io/kubernetes/cmd/kube-controller-manager \
  k8s.io/kubernetes/cmd/kube-scheduler \
  k8s.io/kubernetes/cmd/kubelet \
  k8s.io/kubernetes/cmd/kube-proxy

# containerd pulls for the architecture that it was compiled for, and no setting changes that. This one was compiled for
# this machine and pulls for another one: github.com/containerd/platforms is replaced by a copy that says arm64.
cd ../containerd
copy=$bin/arm64
rm -rf "$copy"
mkdir -p "$copy"
cp -r "$(go list -m -f '{{.Dir}}' github.com/containerd/platforms)" "$copy/platforms"
chmod -R u+w "$copy"
sed -i -e 's/runtime.GOARCH/"arm64"/' "$copy/platforms/defaults_unix.go"
cp go.mod go.sum "$copy/"
go mod edit -replace "github.com/containerd/platforms=$copy/platforms" "$copy/go.mod"
CGO_ENABLED=0 go build -modfile "$copy/go.mod" -ldflags '-s -w' -o "$bin/containerd-arm64" github.com/containerd/containerd/v2/cmd/containerd
echo "$bin"
