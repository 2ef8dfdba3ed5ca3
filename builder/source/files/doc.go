// Package files is the source for single files that the pipeline lists: written out in it, taken from the repository,
// or symlinks and empty folders.
package files
