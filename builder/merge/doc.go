// Package merge puts the trees of several sources into one, each at its place in the image, and finds the paths
// that two of them write. It is a pure function of its arguments.
package merge
