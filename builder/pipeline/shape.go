package pipeline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// shape compares a node with the Go type it is for: unknown and repeated keys, wrong kinds. It remembers where
// everything stands.
func (c *checker) shape(n *yaml.Node, t reflect.Type, path string) {
	c.at[path] = n
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		c.fault(path, "write the value out", "anchors and aliases are not allowed")
		return
	}
	switch {
	case t == typeOf[Size]():
		if _, err := ParseSize(n.Value); err != nil || n.Kind != yaml.ScalarNode {
			c.fault(path, "for example 512MiB, 900MB or 4096", "%q is not a size", n.Value)
		}
	case t.Kind() == reflect.Struct:
		c.mapping(n, path, func(key, value *yaml.Node, at string) {
			field, ok := fieldFor(t, key.Value)
			if !ok {
				c.at[at] = key
				c.fault(at, didYouMean(key.Value, keysOf(t)), "unknown field")
				return
			}
			c.shape(value, field.Type, at)
		})
	case t.Kind() == reflect.Map:
		c.mapping(n, path, func(_, value *yaml.Node, at string) { c.shape(value, t.Elem(), at) })
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			c.fault(path, "write it as [a, b], or one line each with a dash", "must be a list")
			return
		}
		for i, item := range n.Content {
			c.shape(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		c.scalar(n, t, path)
	}
}

func (c *checker) mapping(n *yaml.Node, path string, each func(key, value *yaml.Node, at string)) {
	if n.Kind != yaml.MappingNode {
		c.fault(path, "", "must be a mapping (key: value)")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		if seen[key.Value] {
			c.at[at] = key
			c.fault(at, "", "is there twice")
			continue
		}
		seen[key.Value] = true
		each(key, value, at)
	}
}

var tags = map[reflect.Kind]struct{ tag, say string }{
	reflect.Bool: {"!!bool", "true or false"}, reflect.Int: {"!!int", "a whole number"},
}

func (c *checker) scalar(n *yaml.Node, t reflect.Type, path string) {
	want, strict := tags[t.Kind()]
	switch {
	case n.Kind != yaml.ScalarNode:
		c.fault(path, "", "must be a single value")
	case n.Tag == "!!null":
		c.fault(path, "give it a value or leave it out", "has no value")
	case strict && n.Tag != want.tag:
		c.fault(path, "", "must be %s, not %q", want.say, n.Value)
	}
}

func fieldFor(t reflect.Type, key string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keysOf(t reflect.Type) []string {
	var out []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		out = append(out, name)
	}
	return out
}

// didYouMean proposes the key that is at most two edits away.
func didYouMean(got string, keys []string) string {
	best, dist := "", 3
	for _, k := range keys {
		if d := edits(strings.ToLower(got), strings.ToLower(k)); d < dist {
			best, dist = k, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	slices.Sort(keys)
	return "known here: " + strings.Join(keys, ", ")
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
