// Package registry is a repository in an OCI distribution registry. Authentication is go-containerregistry's; the
// upload is ours, because a layer here is a stream that can be produced again but is held nowhere: it is sent while it is
// produced, in one pass when its digest is not known yet, and after a cut it is produced again and continued where the
// registry says it stopped (OCI distribution spec, "Pushing a blob in chunks").
package registry
