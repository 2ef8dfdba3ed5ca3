// Package cluster runs a real Kubernetes on one machine: etcd and the control plane, a registry that counts, and nodes with
// containerd, kubelet and kube-proxy of their own.
//
// All of it lives in one tree of namespaces. [Enter] runs the test's program again as the first process of new ones; the
// control plane runs beside it, every node is the first process of another set below. When the program ends, however it
// does, the kernel takes everything with it: processes, mounts and networks. What remains are folders and cgroups, which
// Enter removes, those of an earlier run that was killed too. The machine's own network is not touched.
//
// Addresses are from 198.18.0.0/15, which is for benchmarks (RFC 2544) and nobody's: 198.18.0.1 has the control plane and
// the registry, node i is 198.18.0.(10+i) with pods in 198.18.(10+i).0/24, services are in 198.19.0.0/16.
package cluster
