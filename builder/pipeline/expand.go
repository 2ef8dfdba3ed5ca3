package pipeline

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// variables are what can stand in dir.path, archive.path, archive.parts, archive.url, bucket.url, image.ref and files.from,
// outside the assets phase, and what they stand for on an OS and an architecture.
var variables = map[string]func(os, arch string) string{
	"${TARGETOS}":       func(os, _ string) string { return os },
	"${TARGETARCH}":     func(_, arch string) string { return arch },
	"${TARGETPLATFORM}": func(os, arch string) string { return os + "/" + arch },
}

func variableNames() []string { return slices.Sorted(maps.Keys(variables)) }

var variablePattern = regexp.MustCompile(`\$\{[^}]*\}?`)

// variablesIn reports whether a text has variables, and the first that does not exist.
func variablesIn(text string) (used bool, unknown string) {
	for _, v := range variablePattern.FindAllString(text, -1) {
		if variables[v] == nil {
			return true, v
		}
		used = true
	}
	return used, ""
}

// expand replaces the variables of a text by what they mean on a platform such as "linux/arm64".
func expand(text, platform string) string {
	os, arch, _ := strings.Cut(platform, "/")
	return variablePattern.ReplaceAllStringFunc(text, func(v string) string {
		if value := variables[v]; value != nil {
			return value(os, arch)
		}
		return v
	})
}

// For is the source as it is on one platform: a copy in which all variables are expanded. It shares what it does not
// change with s.
func (s *Source) For(platform v1.Platform) *Source {
	at := func(text string) string { return expand(text, platform.OS+"/"+platform.Architecture) }
	out := *s
	if s.Dir != nil {
		dir := *s.Dir
		dir.Path = at(dir.Path)
		out.Dir = &dir
	}
	if s.Archive != nil {
		archive := *s.Archive
		archive.Path, archive.URL = at(archive.Path), at(archive.URL)
		archive.Parts = slices.Clone(archive.Parts)
		for i, part := range archive.Parts {
			archive.Parts[i] = at(part)
		}
		out.Archive = &archive
	}
	if s.Bucket != nil {
		out.Bucket = &Bucket{URL: at(s.Bucket.URL)}
	}
	if s.Image != nil {
		out.Image = &Image{Ref: at(s.Image.Ref)}
	}
	out.Files = slices.Clone(s.Files)
	for i := range out.Files {
		out.Files[i].From = at(out.Files[i].From)
	}
	return &out
}
