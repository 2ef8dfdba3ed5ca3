package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"math/bits"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spdx/tools-golang/spdx/v2/common"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// File is a regular file as documents list it.
type File struct {
	// Name is "./" and the path; bytes that are not UTF-8 are written as %XX.
	Name   string
	SHA256 v1.Hash
}

// NewFile makes the File of a path.
func NewFile(path string, sha256 v1.Hash) File { return File{fileName(path), sha256} }

// Files are the regular files of a tree. Their digests are known.
func Files(tree builder.Tree) []File {
	var out []File
	for e := range tree.Files() {
		out = append(out, NewFile(e.Path, e.SHA256))
	}
	return out
}

// How many documents FileDocuments aims for, and makes at the most.
const (
	wantedDocuments = 16
	maxDocuments    = 60
)

// FileDocuments lists files in several SPDX documents, at most 60. They are cut so that a file which is added, changed or
// removed gives one or two of them other bytes and leaves
// the rest as they were.
func FileDocuments(files []File) ([][]byte, error) {
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	mask := uint64(1)<<bits.Len(uint(len(files)/wantedDocuments)) - 1
	var out [][]byte
	for len(files) > 0 {
		n := len(files)
		if len(out) < maxDocuments-1 {
			n = cut(files, mask)
		}
		doc, err := fileDocument(files[:n])
		if err != nil {
			return nil, err
		}
		out = append(out, doc)
		files = files[n:]
	}
	return out, nil
}

// FilesDigest is a digest of documents, in their order.
func FilesDigest(documents [][]byte) v1.Hash {
	all := sha256.New()
	for _, doc := range documents {
		sum := sha256.Sum256(doc)
		all.Write(sum[:])
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(all.Sum(nil))}
}

// cut is how many files go into the next document: up to one that ends a document wherever it stands.
func cut(files []File, mask uint64) int {
	for i := range files {
		h := fnv.New64a()
		h.Write([]byte(files[i].Name))
		if h.Sum64()&mask == 0 {
			return i + 1
		}
	}
	return len(files)
}

// fileDocument depends on nothing but the files: neither on the build's time nor on its version.
func fileDocument(files []File) ([]byte, error) {
	sum := sha256.New()
	var line []byte
	for _, f := range files {
		line = append(append(append(line[:0], f.SHA256.Hex...), f.Name...), 0) // which no name has
		sum.Write(line)
	}
	name := "files-" + hex.EncodeToString(sum.Sum(nil))
	head, err := json.Marshal(newWriter(name, "https://pitcrew.dev/spdx/"+name, time.Unix(0, 0), "pitcrew-builder").doc)
	if err != nil {
		return nil, err
	}
	return appendFiles(bytes.TrimSuffix(head, []byte("}")), files)
}

// appendFiles writes what the library would write of files, which are many, without its detours.
func appendFiles(doc []byte, files []File) ([]byte, error) {
	const perFile = 450 // bytes, about
	doc = slices.Grow(doc, perFile*len(files))
	ids := make([]string, len(files))
	doc = append(doc, `,"files":[`...)
	for i, f := range files {
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256([]byte(f.Name))
		ids[i] = hex.EncodeToString(sum[:12])
		doc = append(append(doc, `{"fileName":`...), name...)
		doc = append(append(doc, `,"SPDXID":"SPDXRef-file-`...), ids[i]...)
		doc = append(append(doc, `","checksums":[{"algorithm":"SHA256","checksumValue":"`...), f.SHA256.Hex...)
		doc = append(doc, `"}],"copyrightText":"NOASSERTION"},`...)
	}
	doc = append(bytes.TrimSuffix(doc, []byte(",")), `],"relationships":[`...)
	for _, id := range ids {
		doc = append(doc, `{"spdxElementId":"SPDXRef-DOCUMENT","relatedSpdxElement":"SPDXRef-file-`...)
		doc = append(append(doc, id...), `","relationshipType":"DESCRIBES"},`...)
	}
	return append(bytes.TrimSuffix(doc, []byte(",")), "]}"...), nil
}

// ParseFiles reads what FileDocuments wrote.
func ParseFiles(documents [][]byte) ([]File, error) {
	var out []File
	for _, raw := range documents {
		doc, err := parse(raw)
		if err != nil {
			return nil, err
		}
		for _, f := range doc.Files {
			h := v1.Hash{}
			for _, c := range f.Checksums {
				if c.Algorithm == common.SHA256 {
					h = v1.Hash{Algorithm: "sha256", Hex: c.Value}
				}
			}
			out = append(out, File{f.FileName, h})
		}
	}
	return out, nil
}

// WithFiles is a document together with those that list a phase's files, as one document.
func WithFiles(document []byte, files [][]byte) ([]byte, error) {
	doc, err := parse(document)
	if err != nil {
		return nil, err
	}
	w := writer{doc: doc}
	for _, raw := range files {
		more, err := parse(raw)
		if err != nil {
			return nil, err
		}
		for _, f := range more.Files {
			doc.Files = append(doc.Files, f)
			w.relate("phase-"+common.ElementID(builder.Assets), common.TypeRelationshipContains, f.FileSPDXIdentifier)
		}
	}
	return json.Marshal(doc)
}
