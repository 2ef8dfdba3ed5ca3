// Package debfile reads Debian binary packages (.deb, format 2) as a stream: first the control paragraph, then the
// data archive, decompressed. Nothing is written anywhere and no maintainer script is looked at.
//
// Start with [Open]. A package is bytes from elsewhere: every length in it is checked against a bound before memory is
// taken, and whatever is malformed or cut short ends in a [builder.Error] of kind Input that names the package.
//
// Members may be compressed with gzip, xz, zstd, bzip2, or not at all. Whether the bytes are those that an index
// promised is for the caller to check, who has the hash.
package debfile
