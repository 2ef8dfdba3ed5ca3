// Package image is the source for what an image holds already: a base image in a registry, or in an OCI layout.
//
// The image's name is resolved to a digest once, the platform's manifest is picked from the index, and each layer is
// unpacked into the store, once for all images that share it. The tree is the layers laid over each other, whiteouts
// applied. Permissions and owners, setuid bits included, are the image's own.
//
// Everything is checked against what names it: manifests and configs against their digests, layers against the
// config's diff IDs. [Resolved.Config] has what a container of the image would be run with.
package image
