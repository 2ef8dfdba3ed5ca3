// Package manifest reads OCI and Docker indexes, manifests and configurations. What it reads comes from registries and is
// hostile until proven otherwise: sizes and numbers are bounded, digests and media types checked, and nothing is believed
// that the next document does not confirm.
package manifest
