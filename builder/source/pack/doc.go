// Package pack keeps unpacked archives: each once for its content, in two files named by a digest. A .pack holds all file
// bodies one after the other, an .idx says what they are. Names from archives never become paths of this machine, so a
// hostile one has nothing to escape from.
//
// Start with [Open] and [Store.Fill]. What a [Writer] is given is checked: see [Writer.AddTar] for what is refused.
//
// A store is a cache that several processes can share and that anyone may delete between builds. Nothing is synced to the
// disk: what a crash left unwhole is found by its size, by the index's checksum, or at last when a file that is read
// does not have its digest, and is made again.
package pack
