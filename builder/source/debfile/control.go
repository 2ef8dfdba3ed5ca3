package debfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Control is the description that a package carries of itself.
type Control struct {
	// Package, Version and Architecture are checked for their syntax: they are safe in file names.
	Package, Version, Architecture string
	// Paragraph is the control file as it is in the package, ending in one newline.
	Paragraph []byte
	// MD5Sums is the package's md5sums file, nil if it has none.
	MD5Sums []byte

	fields map[string]string
}

// Field is the value of a field of the paragraph, with continuation lines joined by newlines; empty if it is absent.
// Case does not matter.
func (c *Control) Field(name string) string { return c.fields[strings.ToLower(name)] }

var (
	packageSyntax      = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	versionSyntax      = regexp.MustCompile(`^([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~-]*$`)
	architectureSyntax = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
)

// ParseControl reads a control file: one paragraph that names package, version and architecture.
func ParseControl(paragraph []byte) (*Control, error) {
	fields, err := parseParagraph(paragraph)
	if err != nil {
		return nil, err
	}
	c := &Control{
		Package: fields["package"], Version: fields["version"], Architecture: fields["architecture"],
		Paragraph: append(bytes.TrimRight(bytes.Clone(paragraph), "\n"), '\n'),
		fields:    fields,
	}
	switch {
	case !packageSyntax.MatchString(c.Package):
		return nil, fmt.Errorf("control file has package name %q", c.Package)
	case !versionSyntax.MatchString(c.Version):
		return nil, fmt.Errorf("control file has version %q", c.Version)
	case !architectureSyntax.MatchString(c.Architecture):
		return nil, fmt.Errorf("control file has architecture %q", c.Architecture)
	}
	return c, nil
}

// parseParagraph maps lower-case field names to values.
func parseParagraph(text []byte) (map[string]string, error) {
	fields := map[string]string{}
	last := ""
	for line := range strings.Lines(strings.Trim(string(text), "\n")) {
		line = strings.TrimRight(line, "\r\n\t ")
		switch {
		case line == "":
			return nil, errors.New("control file has more than one paragraph")
		case line[0] == ' ' || line[0] == '\t':
			if last == "" {
				return nil, errors.New("control file begins with a continuation line")
			}
			fields[last] += "\n" + line
		default:
			name, value, ok := strings.Cut(line, ":")
			last = strings.ToLower(name)
			if _, twice := fields[last]; !ok || last == "" || twice {
				return nil, fmt.Errorf("control file has the line %q", line)
			}
			fields[last] = strings.TrimLeft(value, " \t")
		}
	}
	return fields, nil
}

// Status is the paragraph as dpkg's status database would have it once the package is installed.
func (c *Control) Status() []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(c.Paragraph) {
		if hasField(line, "Status") {
			continue
		}
		b.Write(line)
		if hasField(line, "Package") {
			b.WriteString("Status: install ok installed\n")
		}
	}
	return b.Bytes()
}

func hasField(line []byte, name string) bool {
	before, _, ok := bytes.Cut(line, []byte(":"))
	return ok && strings.EqualFold(string(before), name)
}
