// Package tarball writes an image to one tar file that both `docker load` and readers of OCI layouts take: an OCI image
// layout in a tar, with docker's manifest.json beside it. Blobs are not copied anywhere before: they are produced while
// the file is written.
package tarball
