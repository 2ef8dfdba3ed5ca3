// Package split decides which file goes into which layer. Without a lock the sorted path list is cut where the paths
// themselves say so, so that a new or deleted folder moves few boundaries. With a lock every file stays where it is, so
// that one edit changes one layer. Either way the decision is a pure function of the tree and the lock.
package split
