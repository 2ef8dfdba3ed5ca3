package sbom_test

import (
	"testing"

	"github.com/pitcrew-dev/pitcrew/builder/sbom"
)

// As many files as SuperTuxKart has.
func BenchmarkFileDocuments(b *testing.B) {
	list := files(5249)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sbom.FileDocuments(list); err != nil {
			b.Fatal(err)
		}
	}
}
