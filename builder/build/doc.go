// Package build is the use case: sources become trees, trees become layers, layers become phase images and the server
// image. It decides what need not be done because somebody did it before; how files are read, packed and sent is
// for the packages it ties together.
//
// A build knows a layer by its key before it knows the layer's bytes. Keys come from the lock, from this
// machine's memory of layers, and from the annotations of the image that the tag names now; a layer whose key is known
// to one of them is not made again.
package build
