package trace

import (
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// Version is that of the file's form.
const Version = 1

// Trace is what programs did with the files below a folder. Paths are relative to it, slash-separated and sorted.
type Trace struct {
	Version int `json:"version"`
	// Opened are files whose content could be read, and symlinks on the way to them.
	Opened []string `json:"opened"`
	// Looked are files and folders that were only looked at, or listed.
	Looked []string `json:"looked"`
	// Missing are paths that were asked for and are not there.
	Missing []string `json:"missing"`
}

// maxTrace bounds a file of a trace.
const maxTrace = 1 << 30

// Read reads a trace that was written as JSON. What is none is an Input error.
func Read(name string, r io.Reader) (*Trace, error) {
	var t Trace
	if err := json.NewDecoder(io.LimitReader(r, maxTrace)).Decode(&t); err != nil {
		return nil, builder.Errorf(builder.Input, "", "%s is not a trace: %w", name, err)
	}
	if t.Version != Version {
		return nil, builder.Errorf(builder.Input, "trace again with this builder", "%s is a trace of version %d, not %d", name, t.Version, Version)
	}
	return &t, nil
}

// Merge is what any of the traces has. What one run opened counts as opened.
func Merge(traces ...*Trace) *Trace {
	c := newCollector()
	for _, t := range traces {
		for _, list := range []struct {
			into  map[string]bool
			paths []string
		}{{c.opened, t.Opened}, {c.looked, t.Looked}, {c.missing, t.Missing}} {
			for _, p := range list.paths {
				list.into[p] = true
			}
		}
	}
	return c.trace()
}

type collector struct{ opened, looked, missing map[string]bool }

func newCollector() *collector {
	return &collector{map[string]bool{}, map[string]bool{}, map[string]bool{}}
}

func (c *collector) trace() *Trace {
	for p := range c.opened {
		delete(c.looked, p)
	}
	for _, there := range []map[string]bool{c.opened, c.looked} {
		for p := range there {
			delete(c.missing, p)
		}
	}
	list := func(m map[string]bool) []string { return slices.AppendSeq([]string{}, sorted(m)) }
	return &Trace{Version, list(c.opened), list(c.looked), list(c.missing)}
}

func sorted(m map[string]bool) func(yield func(string) bool) {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}
