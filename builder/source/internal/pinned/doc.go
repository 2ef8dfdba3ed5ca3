// Package pinned opens files below a folder and notices when they are not the ones that were listed before.
//
// Nothing here leaves the folder: a name is resolved component by component below the open root (os.Root), so that a
// symlink that was swapped in at any moment leads to an error and not outside.
package pinned
