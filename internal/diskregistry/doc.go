// Package diskregistry is a small OCI distribution registry that keeps everything in a folder: for demos and tests, which
// want a real registry on loopback that is there again on the next run. Blobs go straight to the disk; an upload that is
// cut keeps what arrived. It has no authentication, no deletion and no garbage collection.
//
// It follows the OCI distribution spec: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
package diskregistry
