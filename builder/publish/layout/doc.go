// Package layout is a repository in a folder: an OCI image layout, which skopeo, podman, umoci and others read. Blobs
// and index.json are replaced as a whole, so a build that is killed leaves a layout that can be read.
package layout
