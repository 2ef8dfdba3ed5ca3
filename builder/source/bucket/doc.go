// Package bucket reads objects from stores: Amazon S3 and what speaks its protocol (s3://), Google Cloud Storage (gs://), Azure
// Blob Storage (azblob://) and local folders (file://). [New] makes a source of all objects below a prefix, as a tree;
// [NewFiles] finds the objects that make up an archive.
//
// What a store holds is pinned when it is listed: by size, and by ETag, generation or checksum. Every read asks for just that
// version, so that an object which changes in between is an error and never a part of a mixed tree. Objects are kept in the cache
// folder, one file each, and fetched once. Credentials come from where the providers' own tools take them.
package bucket
