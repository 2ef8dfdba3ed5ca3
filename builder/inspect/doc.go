// Package inspect reads an image back: which layers each platform lists, which phase each belongs to, what is shared,
// and what a node would pull that already holds another version. It fetches indexes, manifests and configs only,
// never a layer, and understands any OCI or Docker image; the contract's annotations add the phases.
package inspect
