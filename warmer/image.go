package warmer

// Digest is what content is named by: "sha256:" and 64 hexadecimal digits.
type Digest string

// Descriptor is what a registry, an index or a manifest says of a piece of content. None of it is to be believed before
// content with this digest is there.
type Descriptor struct {
	MediaType string
	Digest    Digest
	// Size is in bytes; 0 means that nobody said.
	Size        int64
	Annotations map[string]string
}
