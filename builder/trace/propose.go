package trace

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// File is a file of the tree that a trace is compared with.
type File struct {
	// Path is relative to the tree, slash-separated.
	Path string
	Size int64
}

// Class is what became of the files with one extension in one folder: `builder trace --output json`. Sizes are bytes.
type Class struct {
	// Extension is in lower case, with its dot; "" for files without.
	Extension string `json:"extension"`
	// Folder is the first part of the paths, "" for files at the top.
	Folder       string `json:"folder"`
	Files        int    `json:"files"`
	Bytes        int64  `json:"bytes"`
	Opened       int    `json:"opened"`
	KeptFiles    int    `json:"keptFiles"`
	KeptBytes    int64  `json:"keptBytes"`
	DroppedBytes int64  `json:"droppedBytes"`
}

// Proposal is a profile that keeps all that was opened.
type Proposal struct {
	// Exclude are globs below prefix.
	Exclude []string `json:"exclude"`
	// Placeholders are files that were looked at only, of kinds that are excluded.
	Placeholders []string `json:"placeholders"`
	Classes      []Class  `json:"classes"`
	KeptBytes    int64    `json:"keptBytes"`
	DroppedBytes int64    `json:"droppedBytes"`
}

type key struct{ extension, folder string }

// Propose drops kinds of files that no run opened: an extension as a whole, or else in a folder. Single files are not dropped,
// since another run would open others of the kind, and neither are files without an extension. prefix is where the tree lies in the image, without leading slash.
func Propose(t *Trace, files []File, prefix string) *Proposal {
	opened, looked := set(t.Opened), set(t.Looked)
	byClass, openedOf := map[key]*Class{}, map[string]int{}
	for _, f := range files {
		k := keyOf(f.Path)
		c := byClass[k]
		if c == nil {
			c = &Class{Extension: k.extension, Folder: k.folder}
			byClass[k] = c
		}
		c.Files, c.Bytes = c.Files+1, c.Bytes+f.Size
		if opened[f.Path] {
			c.Opened++
			openedOf[k.extension]++
		}
	}
	p := &Proposal{Exclude: []string{}, Placeholders: []string{}, Classes: []Class{}}
	whole := map[string]bool{}
	for k, c := range byClass {
		switch {
		case c.Opened > 0 || k.extension == "":
			c.KeptFiles, c.KeptBytes = c.Files, c.Bytes
		case openedOf[k.extension] == 0:
			whole[k.extension] = true
		default:
			p.Exclude = append(p.Exclude, globOf(prefix, k))
		}
		c.DroppedBytes = c.Bytes - c.KeptBytes
		p.KeptBytes, p.DroppedBytes = p.KeptBytes+c.KeptBytes, p.DroppedBytes+c.DroppedBytes
		p.Classes = append(p.Classes, *c)
	}
	for ext := range whole {
		p.Exclude = append(p.Exclude, path.Join(prefix, "**/*"+literal(ext)))
	}
	for _, f := range files {
		if byClass[keyOf(f.Path)].KeptFiles == 0 && looked[f.Path] {
			p.Placeholders = append(p.Placeholders, path.Join(prefix, literal(f.Path)))
		}
	}
	slices.Sort(p.Exclude)
	slices.Sort(p.Placeholders)
	slices.SortFunc(p.Classes, func(a, b Class) int {
		return cmp.Or(cmp.Compare(b.DroppedBytes, a.DroppedBytes), strings.Compare(a.Folder, b.Folder), strings.Compare(a.Extension, b.Extension))
	})
	return p
}

func set(paths []string) map[string]bool {
	out := make(map[string]bool, len(paths))
	for _, p := range paths {
		out[p] = true
	}
	return out
}

// keyOf takes extensions as they are written: globs tell cases apart.
func keyOf(name string) key {
	folder, _, ok := strings.Cut(name, "/")
	if !ok {
		folder = ""
	}
	ext := path.Ext(name)
	if ext == "." || strings.TrimSuffix(path.Base(name), ext) == "" {
		ext = "" // a hidden file
	}
	return key{ext, folder}
}

func globOf(prefix string, k key) string {
	if k.folder == "" {
		return path.Join(prefix, "*"+literal(k.extension))
	}
	return path.Join(prefix, literal(k.folder), "**/*"+literal(k.extension))
}

// literal is a text that a glob takes as it is.
func literal(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`).Replace(text)
}
