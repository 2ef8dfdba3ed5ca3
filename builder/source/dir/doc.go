// Package dir is the source for a local folder: the artist's asset folder, a prebuilt tree, a part of the repository.
//
// [New] makes the [builder.Source]. Resolving walks the folder without reading a file; the input digest then reads
// only the files that the memo does not know in their present state. What ends up in the tree depends on names,
// contents, symlinks, hard links and the executable bits alone, not on the owner, the umask, any time, or the order
// in which the file system lists names.
//
// The folder may be written to meanwhile. Whatever happens there, nothing outside the folder is read, and a file that
// is not as it was found leads to an error that matches [builder.ErrChanged] rather than to a mixture.
package dir
