// Package lock is the text format of assets.lock: which file lies in which layer, and which bytes each layer had. With it
// the layers are a pure function of (tree, lock) on every machine, so it belongs in version control beside the pipeline.
//
// One line holds one fact, sorted, so that two artists' changes merge:
//
//	# pitcrew assets.lock v1
//	class .png store 0.991
//	image debian:bookworm-slim sha256:…
//	layer 0 base none sha256:KEY sha256:DIGEST sha256:DIFFID SIZE
//	f 0 644 1234 HEXDIGEST tracks/hacienda/scene.xml
//	gone 33 tracks/old/scene.xml
//
// A path that holds control characters, quotes, or spaces at an end is a Go string literal. Layers of kind delta and gone
// lines are kept but not written by this version.
package lock
