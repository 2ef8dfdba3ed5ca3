// Package builder turns the four phases of a dedicated game server (assets, base, code, server) into layered
// multi-platform OCI images, without a container engine.
//
// This package holds the nouns that everything below it shares, and the interfaces it consumes: [Entry] and
// [Tree] (what goes into a layer), [Source] (where a tree comes from), [Blob] (bytes that can be made again
// as often as needed), [Repository] (where blobs and manifests go), and [Error] (what went wrong, whose fault
// it is, and the way out). It touches no disk, no network and no clock.
//
// The subpackages follow one build from left to right:
//
//	pipeline   pipeline.yaml, parsed strictly
//	source/…   one adapter for each kind of source; each yields trees
//	split      which file goes into which layer
//	lock       assets.lock, the memory of that decision
//	layer      a tree becomes a byte-identical tar stream, stored or compressed
//	compose    layers become manifests, configs and an index
//	publish/…  registry, OCI layout, tarball
//	build      the use case that ties them together: plan, build, compose
//
// What warmer and registries may rely on is written in docs/contract.md; its annotation keys are in contract.go.
package builder
