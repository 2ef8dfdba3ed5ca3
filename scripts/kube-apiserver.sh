#!/usr/bin/env bash
# Builds the kube-apiserver, the etcd and the kubectl that test/kube pins, and prints the folder that they are in.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$PWD/.cache/kube
cd test/kube
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
# Without these the server says that it is v0.0.0-master, and emulates that.
flags="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}"
CGO_ENABLED=0 go build -ldflags '-s -w' -o "$bin/etcd" go.etcd.io/etcd/server/v3
CGO_ENABLED=0 go build -ldflags "-s -w $flags" -o "$bin/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl
echo "$bin"
