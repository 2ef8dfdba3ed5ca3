// Package verify checks an image against what it says of itself and against docs/contract.md: every blob's digest, every
// layer's diff ID (of any codec), and, for images that carry the contract's annotation, order, determinism and
// annotations. Layers are streamed; each distinct one is read once.
package verify
