// Package layer turns entries into an image layer: a tar stream, stored or compressed, whose bytes are a pure function
// of the entries and the codec (docs/contract.md, "Determinism").
//
// A [Layer] is virtual. There is no copy of it in memory or on disk; its bytes are generated from the source files
// whenever they are wanted, and one pass yields digest, diff ID and size.
package layer
