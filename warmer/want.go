package warmer

import (
	"cmp"
	"slices"
	"time"
)

// Want is an image that shall be warm.
type Want struct {
	// Ref is the image as a pod names it.
	Ref string `json:"ref"`
	// Platform is OS/ARCH[/VARIANT]; empty means the node's own.
	Platform string `json:"platform,omitempty"`
	Layers   Layers `json:"layers"`
	// Priority orders the work: what has a higher one is fetched first.
	Priority int `json:"priority,omitempty"`
	// Pin keeps kubelet's image garbage collection from the image.
	Pin bool `json:"pin,omitempty"`
	// Retention is how long the image stays once it is not wanted any more; 0 leaves that to [Limits.Grace].
	Retention time.Duration `json:"retention,omitempty"`
}

// Key tells wants apart: two of the same key are one.
func (w Want) Key() string {
	k := w.Ref
	if w.Layers == Assets {
		k += " (assets)"
	}
	if w.Platform != "" {
		k += " " + w.Platform
	}
	return k
}

// Normalize orders what several sources want and makes one of those that are the same: the highest priority, the
// longest retention and any pin count. References come out in full; one that cannot be parsed stays as it is.
func Normalize(wants []Want) []Want {
	merged := map[string]Want{}
	for _, w := range wants {
		if r, err := ParseReference(w.Ref); err == nil {
			w.Ref = r.String()
		}
		if w.Layers == "" {
			w.Layers = All
		}
		if had, again := merged[w.Key()]; again {
			w.Priority, w.Pin, w.Retention = max(w.Priority, had.Priority), w.Pin || had.Pin, max(w.Retention, had.Retention)
		}
		merged[w.Key()] = w
	}
	out := make([]Want, 0, len(merged))
	for _, w := range merged {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b Want) int { return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Key(), b.Key())) })
	return out
}
