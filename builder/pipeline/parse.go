package pipeline

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// maxBytes bounds a pipeline file.
const maxBytes = 1 << 20

// Parse reads a pipeline of at most 1 MiB and checks it; name is the file's name in messages. With dir, the folder
// that holds the file, local sources are looked for too; with nil, Parse touches nothing but r. The error is a
// Config error, around [Faults] if it is about what the file says. Defaults are filled in.
func Parse(name string, r io.Reader, dir fs.FS) (*Pipeline, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, builder.Errorf(builder.Config, "", "read %s: %w", name, err)
	}
	if len(raw) > maxBytes {
		return nil, builder.Errorf(builder.Config, "put large contents into files and name them under from",
			"%s: larger than %d bytes", name, maxBytes)
	}
	c := newChecker(name, dir)
	p := c.decode(raw)
	if p != nil {
		c.validate(p)
	}
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	p.applyDefaults()
	return p, nil
}

// decode reads the one document of a file. What has the wrong shape is reported and left at its zero value, so that
// the rest can be checked still; the result is nil if there is no document to check.
func (c *checker) decode(raw []byte) *Pipeline {
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var doc yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) != 1 {
		c.faultAt(nil, "", "see docs/pipeline.md for an example", "is empty")
		return nil
	}
	if err != nil {
		c.syntax(err)
		return nil
	}
	var p Pipeline
	c.shape(doc.Content[0], reflect.TypeFor[Pipeline](), "")
	if err := doc.Content[0].Decode(&p); err != nil {
		c.syntax(err)
		return nil
	}
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case err == nil:
		c.faultAt(&second, "", "keep one pipeline in one file", "holds more than one document")
	case !errors.Is(err, io.EOF):
		c.syntax(err)
	}
	return &p
}

// The library tells the line in its message only.
var libraryMessage = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// syntax reports what the YAML library says about a file that it cannot read.
func (c *checker) syntax(err error) {
	message := err.Error()
	at := &yaml.Node{Line: 1, Column: 1}
	if found := libraryMessage.FindStringSubmatch(message); found != nil {
		message = message[len(found[0]):]
		at.Line, _ = strconv.Atoi(found[1]) // no line: faultAt takes the first
	}
	c.faultAt(at, "", "lists and mappings are indented with spaces, and special characters need quotes", "cannot be read: %s", message)
}
