// Package sbom writes bills of materials in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/): what Debian packages and Go
// programs an image has, by phase, and the digest of every asset file. A document is a function of the image: the same image
// gives the same bytes.
//
// [Look] finds out what a tree holds, [Document] writes one platform's document, and [FileDocuments] those of the asset
// files, which are many and change a few at a time. Licences are not looked into.
package sbom
