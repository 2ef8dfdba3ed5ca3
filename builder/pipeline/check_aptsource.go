package pipeline

func (c *sourceChecker) aptSource(at string, a *AptSource) {
	c.match(join(at, "package"), a.Package, excludedSyntax)
	c.optional(join(at, "version"), a.Version, versionSyntax)
	c.mirrors(join(at, "mirrors"), a.Mirrors)
}
