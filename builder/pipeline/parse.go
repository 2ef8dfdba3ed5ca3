package pipeline

import (
	"fmt"
	"io"
	"io/fs"

	"go.yaml.in/yaml/v3"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// maxBytes bounds a pipeline file.
const maxBytes = 1 << 20

// Parse reads a pipeline and checks it; name is the file's name in messages. With dir, the folder that holds the
// file, local sources are looked for too; it may be nil. The error is a Config error around [Faults] with every
// fault of the file. Defaults are filled in.
func Parse(name string, r io.Reader, dir fs.FS) (*Pipeline, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, builder.Errorf(builder.Config, "", "read %s: %w", name, err)
	}
	if len(raw) > maxBytes {
		return nil, builder.Errorf(builder.Config, "", "%s: larger than %d bytes", name, maxBytes)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, builder.Errorf(builder.Config, "", "%s: %w", name, err)
	}
	c := &checker{file: name, dir: dir, at: map[string]*yaml.Node{}}
	if len(doc.Content) != 1 {
		c.faults = append(c.faults, Fault{File: name, Line: 1, Column: 1, Path: "the file", Message: "is empty", Hint: "see docs/pipeline.md for an example"})
		return nil, c.faults.err()
	}
	var p Pipeline
	c.shape(doc.Content[0], typeOf[Pipeline](), "")
	if len(c.faults) == 0 {
		if err := doc.Content[0].Decode(&p); err != nil {
			return nil, builder.Errorf(builder.Config, "", "%s: %w", name, err)
		}
		c.validate(&p)
	}
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	p.applyDefaults()
	return &p, nil
}

// checker collects faults with their places.
type checker struct {
	file   string
	dir    fs.FS
	at     map[string]*yaml.Node
	faults Faults
}

// fault notes a fault at a document path, or at the nearest parent that is in the file.
func (c *checker) fault(path, hint, format string, args ...any) {
	node := c.at[path]
	for p := path; node == nil && p != ""; node = c.at[p] {
		p = parentPath(p)
	}
	f := Fault{File: c.file, Line: 1, Column: 1, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint}
	if node != nil {
		f.Line, f.Column = node.Line, node.Column
	}
	c.faults = append(c.faults, f)
}

func parentPath(p string) string {
	for i := len(p) - 1; i > 0; i-- {
		if p[i] == '.' || p[i] == '[' {
			return p[:i]
		}
	}
	return ""
}
