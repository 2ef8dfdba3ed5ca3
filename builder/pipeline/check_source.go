package pipeline

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

// sourceKinds are the fields that say what a source is.
var sourceKinds = []string{"dir", "archive", "bucket", "git", "apt", "aptSource", "image", "files"}

// sourceChecker checks one source of one phase.
type sourceChecker struct {
	*checker
	at     string
	phase  builder.Phase
	all    []string // the pipeline's platforms
	source *Source
}

func (c *sourceChecker) check() {
	s := c.source
	c.oneOf(c.at, sourceKinds, "kinds of source")
	c.globs(join(c.at, "include"), s.Include)
	c.globs(join(c.at, "exclude"), s.Exclude)
	c.optional(join(c.at, "owner"), s.Owner, ownerSyntax)
	if at := join(c.at, "destination"); c.written(at) {
		c.absolute(at, s.Destination, "/usr/share/games/x")
	}
	c.restriction()
	if s.Dir != nil {
		c.local(c.at+".dir.path", s.Dir.Path, folder)
	}
	if s.Archive != nil {
		c.archive(join(c.at, "archive"), s.Archive)
	}
	if s.Bucket != nil {
		c.location(c.at+".bucket.url", s.Bucket.URL)
	}
	if s.Git != nil {
		c.git(join(c.at, "git"), s.Git)
	}
	if s.Apt != nil {
		c.apt(join(c.at, "apt"), s.Apt)
	}
	if s.AptSource != nil {
		c.aptSource(join(c.at, "aptSource"), s.AptSource)
	}
	if s.Image != nil {
		c.image(c.at+".image.ref", s.Image.Ref)
	}
	c.files(join(c.at, "files"), s.Files)
}

// oneOf holds that exactly one of some fields is written.
func (c *checker) oneOf(at string, fields []string, what string) {
	n := 0
	for _, f := range fields {
		if c.written(join(at, f)) {
			n++
		}
	}
	hint := "write exactly one of " + strings.Join(fields, ", ")
	switch {
	case n == 0 && !c.unsure[at]:
		c.fault(at, hint, "has none of %s", strings.Join(fields, ", "))
	case n > 1:
		c.fault(at, hint, "has %d %s", n, what)
	}
}

// restriction checks the platforms that the source is for.
func (c *sourceChecker) restriction() {
	at := join(c.at, "platforms")
	if !c.written(at) {
		return
	}
	if c.phase == builder.Assets {
		c.fault(at, "move what depends on the platform to base or code", "assets are the same for every platform")
		return
	}
	c.checker.platforms(at, c.source.Platforms)
	for i, p := range c.source.Platforms {
		if platformSyntax.pattern.MatchString(p) && !slices.Contains(c.all, p) {
			c.fault(item(at, i), "add it to the pipeline's platforms, or remove the source", "%s is not a platform of the pipeline", p)
		}
	}
}

func (c *sourceChecker) archive(at string, a *Archive) {
	c.oneOf(at, []string{"path", "parts", "url"}, "places to take it from")
	if c.written(join(at, "path")) {
		c.local(join(at, "path"), a.Path, regular)
	}
	if parts := join(at, "parts"); c.written(parts) && len(a.Parts) == 0 {
		c.fault(parts, "for example [data.tar.zst.part-*]", "is empty")
	}
	for i, glob := range a.Parts {
		switch part := item(join(at, "parts"), i); {
		case isLocation(glob) != isLocation(a.Parts[0]):
			c.fault(part, "keep the pieces in one place", "is not where %s is", quote(a.Parts[0]))
		case isLocation(glob):
			c.location(part, glob)
		default:
			c.parts(part, glob)
		}
	}
	if isLocation(a.URL) {
		c.location(join(at, "url"), a.URL)
	} else {
		c.optional(join(at, "url"), a.URL, urlSyntax)
	}
	c.optional(join(at, "sha256"), a.SHA256, sha256Syntax)
	if a.URL != "" && !isLocation(a.URL) && !c.written(join(at, "sha256")) {
		c.lacks(join(at, "sha256"), "run sha256sum on the file that you have looked at", "is missing: a url needs one")
	}
	c.optional(join(at, "format"), a.Format, formatSyntax)
	c.within(join(at, "stripComponents"), a.StripComponents, 0, 64)
}

// storeSchemes begin the addresses of object stores.
var storeSchemes = []string{"s3://", "gs://", "azblob://", "file://"}

func isLocation(text string) bool {
	return slices.ContainsFunc(storeSchemes, func(scheme string) bool { return strings.HasPrefix(text, scheme) })
}

// location checks a place in an object store. What its options mean is found out when it is opened.
func (c *sourceChecker) location(at, text string) {
	const hint = "for example s3://bucket/prefix?region=eu-central-1, gs://bucket/prefix, azblob://container/prefix or file:///folder"
	switch {
	case !c.written(at):
		c.lacks(at, hint, "is missing")
		return
	case text == "":
		c.fault(at, hint, "is empty")
		return
	}
	for _, expanded := range c.expansions(at, text) {
		_, rest, _ := strings.Cut(expanded, "://")
		place, _, _ := strings.Cut(rest, "?")
		switch bucket, _, _ := strings.Cut(place, "/"); {
		case !isLocation(expanded), strings.HasPrefix(expanded, "file://") == (bucket != ""), strings.ContainsAny(place, "# "):
			c.fault(at, hint, "%s is not a place in an object store", quote(expanded))
		case strings.Contains(bucket, "@"):
			c.fault(at, "they come from the environment, as for the provider's own tools", "credentials have no place in the file")
		}
	}
}

func (c *sourceChecker) git(at string, g *Git) {
	c.match(join(at, "url"), g.URL, gitSyntax)
	c.match(join(at, "ref"), g.Ref, refSyntax)
	if folder := join(at, "folder"); c.written(folder) && (!fs.ValidPath(g.Folder) || g.Folder == ".") {
		c.fault(folder, "for example assets/tracks", "%s is not a folder of the repository", quote(g.Folder))
	}
}
