// Package compose turns layers that already exist somewhere into image configs, manifests and an index. It moves
// no layer bytes and is a pure function: the same layers, settings and time give the same bytes, whether the layers
// were made a moment ago or read from phase images in a registry.
//
// The order of layers is the contract of docs/contract.md: assets at the bottom, then base, code and server.
package compose
