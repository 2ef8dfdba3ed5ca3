package pipeline

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checker collects faults with their places.
type checker struct {
	file   string
	dir    fs.FS
	faults Faults
	// at are the nodes of the document by their paths.
	at map[string]*yaml.Node
	// bad are the paths whose values had the wrong shape. They are reported: nothing more is said about them.
	bad map[string]bool
	// unsure are the mappings with unknown fields: what they lack may be a misspelt field.
	unsure map[string]bool
}

func newChecker(file string, dir fs.FS) *checker {
	return &checker{file: file, dir: dir, at: map[string]*yaml.Node{}, bad: map[string]bool{}, unsure: map[string]bool{}}
}

// fault notes a fault at a document path, or at the nearest parent that is in the file; at most one for a value
// whose shape is wrong, or for what is inside it.
func (c *checker) fault(path, hint, format string, args ...any) {
	var node *yaml.Node
	for p := path; ; p = parentPath(p) {
		if c.bad[p] {
			return
		}
		if node == nil {
			node = c.at[p]
		}
		if p == "" {
			break
		}
	}
	c.faultAt(node, path, hint, format, args...)
}

// faultAt notes a fault at a node; nil is the file's start.
func (c *checker) faultAt(node *yaml.Node, path, hint, format string, args ...any) {
	if len(c.faults) >= maxFaults {
		return
	}
	f := Fault{File: c.file, Line: 1, Column: 1, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint}
	if f.Path == "" {
		f.Path = "the file"
	}
	if node != nil {
		f.Line, f.Column = max(1, node.Line), max(1, node.Column)
	}
	c.faults = append(c.faults, f)
}

// lacks notes that a required field is not there, unless its parent has a field that nobody knows.
func (c *checker) lacks(path, hint, message string) {
	if !c.unsure[parentPath(path)] {
		c.fault(path, hint, "%s", message)
	}
}

// written reports whether the file has a value at path, of whatever shape.
func (c *checker) written(path string) bool { return c.at[path] != nil }

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// join is the path of a mapping's key.
func join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + quote(key) + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// parentPath is the path without its last key or index.
func parentPath(p string) string {
	if strings.HasSuffix(p, `"]`) {
		return p[:max(0, strings.LastIndex(p, `["`))]
	}
	return p[:max(0, strings.LastIndexAny(p, ".["))]
}

// credentials are a URL's user and password: logs are read by more people than the file.
var credentials = regexp.MustCompile(`//[^/@]+@`)

// quote shows a value from the file on one line of bounded length, without credentials.
func quote(s string) string {
	const most = 80
	s = credentials.ReplaceAllString(s, "//…@")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return strconv.Quote(s)
}
