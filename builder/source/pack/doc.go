// Package pack keeps unpacked archives: each once for its content, in two files named by a digest. A .pack is all file bodies one
// after the other, an .idx says what they are. Names from archives never become paths of this machine, so a hostile one
// has nothing to escape from.
package pack
