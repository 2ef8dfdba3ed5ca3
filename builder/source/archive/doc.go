// Package archive is a source of files from a tar or zip archive: a local file, one that was split into parts, or a
// download. It is unpacked once into the pack store, under the digest of its bytes.
package archive
