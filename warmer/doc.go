// Package warmer makes images present, unpacked and pinned on a node before a game server needs them. This package is the
// domain, without network, disk or clock: what shall be warm ([Desired]), what is there ([State]), and what follows from
// the two ([Plan]). It declares what it needs of a container runtime and of registries.
//
// Adapters are below: containerd is the node's runtime, registry fetches. agent executes plans, ops says what it did, and
// cmd/warmer wires them.
//
// It shares nothing with builder but the image contract (docs/contract.md): annotations on layers say which of them are
// assets.
package warmer
