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
// A layer keeps its lines for as long as it is in the image: of several lines with one path the one in the uppermost layer
// counts. Base layers lie below delta layers, each in the order of the lines; gone is what a delta layer deletes. Behind a
// mode may stand an owner (644:1000:1000). A path that holds control characters, quotes, or spaces at an end is a Go string
// literal.
package lock
