package decide

import "github.com/pitcrew-dev/pitcrew/warmer/api/v1alpha1"

// Set is a WarmSet with its [Choice], to be compared with many nodes.
type Set struct {
	*v1alpha1.WarmSet
	Choice
}

// Choice is what a WarmSet's spec comes to. It stays the same as long as the generation does.
type Choice struct {
	nodes Nodes
	err   error
	refs  []string // of the images in their order, as nodes name them
}

// Choose works that out.
func Choose(s *v1alpha1.WarmSetSpec) Choice {
	var c Choice
	c.nodes, c.err = NodesOf(s)
	for _, w := range s.Images {
		full, _ := Normal(w.Ref) // what is none is looked for as it is
		c.refs = append(c.refs, full)
	}
	return c
}

// Prepare makes a Set of a WarmSet.
func Prepare(s *v1alpha1.WarmSet) Set { return Set{s, Choose(&s.Spec)} }
