package pipeline

import (
	"path"
	"slices"
	"strings"
)

func (c *sourceChecker) apt(at string, a *Apt) {
	if len(a.Packages) == 0 {
		c.lacks(join(at, "packages"), "write at least one package's name", "names no package")
	}
	c.each(join(at, "packages"), a.Packages, packageSyntax)
	c.each(join(at, "exclude"), a.Exclude, excludedSyntax)
	for i, p := range a.Packages {
		if name, _, _ := strings.Cut(p, "="); slices.Contains(a.Exclude, name) {
			c.fault(item(join(at, "packages"), i), "remove it from packages or from exclude", "%s is both wanted and excluded", quote(name))
		}
	}
	c.optional(join(at, "dependencies"), a.Dependencies, dependenciesSyntax)
	c.mirrors(join(at, "mirrors"), a.Mirrors)
}

func (c *sourceChecker) mirrors(at string, mirrors []Mirror) {
	if c.written(at) && len(mirrors) == 0 {
		c.fault(at, "leave it out to use the machine's own", "is empty")
	}
	for i := range mirrors {
		c.mirror(item(at, i), &mirrors[i])
	}
}

func (c *sourceChecker) mirror(at string, m *Mirror) {
	c.match(join(at, "uri"), m.URI, uriSyntax)
	if len(m.Suites) == 0 {
		c.lacks(join(at, "suites"), suiteSyntax.hint, "names no suite")
	}
	c.each(join(at, "suites"), m.Suites, suiteSyntax)
	c.each(join(at, "components"), m.Components, suiteSyntax)
	for i, suite := range m.Suites {
		if suite != "" && strings.HasSuffix(suite, "/") == (len(m.Components) > 0) {
			c.fault(item(join(at, "suites"), i), "a suite that ends in a slash has no components, every other has",
				"suite %s and components do not go together", quote(suite))
		}
	}
	if signedBy := join(at, "signedBy"); c.written(signedBy) && !path.IsAbs(m.SignedBy) {
		c.local(signedBy, m.SignedBy, regular)
	}
}
