// Package kubetest runs a real kube-apiserver and etcd for tests, with this module's CRDs and as much of Agones' as a
// warmer reads. There are no nodes and no controllers but those of the test: nothing is scheduled or collected.
//
// A test's program has one server, which [Main] ends; [Start] hands it out, emptied. scripts/kube-apiserver.sh builds the
// binaries.
package kubetest
