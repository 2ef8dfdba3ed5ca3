package pipeline

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shape compares a node with the Go type it is for: unknown and repeated keys, wrong kinds. It remembers where
// everything stands, and replaces what it reports, so that the document can be decoded without error.
func (c *checker) shape(n *yaml.Node, t reflect.Type, path string) {
	c.at[path] = n
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		c.wrong(n, t, path, "write the value out", "anchors and aliases are not allowed")
	case t == reflect.TypeFor[Size]():
		c.size(n, t, path)
	case t.Kind() == reflect.Struct:
		c.fields(n, t, path)
	case t.Kind() == reflect.Map:
		c.mapping(n, t, path, func(_, value *yaml.Node, at string) { c.shape(value, t.Elem(), at) })
	case t.Kind() == reflect.Slice:
		c.list(n, t, path)
	default:
		c.scalar(n, t, path)
	}
}

// wrong notes that a node does not have the shape of t, and gives it the shape of t's zero value.
func (c *checker) wrong(n *yaml.Node, t reflect.Type, path, hint, format string, args ...any) {
	c.fault(path, hint, format, args...)
	c.bad[path] = true
	*n = zeroNode(t, n.Line, n.Column)
}

func zeroNode(t reflect.Type, line, column int) yaml.Node {
	n := yaml.Node{Kind: yaml.ScalarNode, Line: line, Column: column}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
	case reflect.Slice:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
	case reflect.String:
		n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	case reflect.Bool:
		n.Tag, n.Value = "!!bool", "false"
	default:
		n.Tag, n.Value = "!!int", "0"
	}
	return n
}

func (c *checker) fields(n *yaml.Node, t reflect.Type, path string) {
	c.mapping(n, t, path, func(key, value *yaml.Node, at string) {
		if field, ok := fieldFor(t, key.Value); ok {
			c.shape(value, field.Type, at)
			return
		}
		c.faultAt(key, at, didYouMean(key.Value, keysOf(t)), "unknown field")
		c.unsure[path] = true
	})
}

// mapping visits the keys of a mapping and drops those that are not words, or are there already.
func (c *checker) mapping(n *yaml.Node, t reflect.Type, path string, each func(key, value *yaml.Node, at string)) {
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		c.wrong(n, t, path, "", "must be a mapping (key: value)")
		return
	}
	seen := map[string]bool{}
	var kept []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" || key.Anchor != "":
			c.faultAt(key, path, `write it as a word, in quotes if YAML takes it for something else`, "has a key that is not a word")
			c.unsure[path] = true
		case seen[key.Value]:
			c.faultAt(key, at, "remove one of them", "is there twice")
		default:
			seen[key.Value] = true
			kept = append(kept, key, value)
			each(key, value, at)
		}
	}
	n.Content = kept
}

func (c *checker) list(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		c.wrong(n, t, path, "write it as [a, b], or one line each with a dash", "must be a list")
		return
	}
	for i, value := range n.Content {
		c.shape(value, t.Elem(), item(path, i))
	}
}

func (c *checker) size(n *yaml.Node, t reflect.Type, path string) {
	size, err := ParseSize(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || err != nil:
		c.wrong(n, t, path, "for example 512MiB, 900MB or 4096", "%s is not a size", quote(n.Value))
	case size == 0:
		c.wrong(n, t, path, "leave it out", "0 is no bound")
	}
}

// scalars are the kinds of value that a file can hold, and how to say what is wanted.
var scalars = map[reflect.Kind]struct{ tag, say, hint string }{
	reflect.Bool:   {"!!bool", "true or false", "write it without quotes"},
	reflect.Int:    {"!!int", "a whole number", "write it without quotes"},
	reflect.String: {"!!str", "text", "write it in quotes"},
}

func (c *checker) scalar(n *yaml.Node, t reflect.Type, path string) {
	want := scalars[t.Kind()]
	switch {
	case n.Kind != yaml.ScalarNode:
		c.wrong(n, t, path, "", "must be a single value")
	case n.ShortTag() == "!!null":
		c.wrong(n, t, path, "give it a value or leave it out", "has no value")
	case n.ShortTag() != want.tag || n.Decode(reflect.New(t).Interface()) != nil:
		c.wrong(n, t, path, want.hint, "must be %s, not %s", want.say, quote(n.Value))
	case t.Kind() == reflect.String && strings.ContainsRune(n.Value, 0):
		c.wrong(n, t, path, "binary contents go into a file that is named under from", "holds a NUL character")
	}
}

func fieldFor(t reflect.Type, key string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if yamlName(f) == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range t.Fields() {
		keys = append(keys, yamlName(f))
	}
	return keys
}

func yamlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}
