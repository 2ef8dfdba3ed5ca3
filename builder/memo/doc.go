// Package memo remembers between builds what was expensive to compute: [Memo] the digests of files that have not
// changed since, [Layers] the descriptors of layers that were made before.
//
// Both are caches on disk and nothing more. A file of theirs that is missing, damaged, foreign or of another
// version costs time, never a wrong build and never a failed one: opening always yields something usable, and the
// error beside it is a warning for the log. Several builds may use one cache folder at once; a file is replaced as
// a whole, so a reader sees one build's state or another's, never a mixture.
package memo
