package pipeline

import (
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pitcrew-dev/pitcrew/builder"
)

func (c *checker) validate(p *Pipeline) {
	c.match("apiVersion", p.APIVersion, apiVersionSyntax)
	c.match("kind", p.Kind, kindSyntax)
	c.match("metadata.name", p.Metadata.Name, nameSyntax)
	c.platforms("platforms", p.Platforms)
	c.match("repository", p.Repository, repositorySyntax)
	c.each("tags", p.Tags, tagSyntax)
	if c.written("lock") && (!fs.ValidPath(p.Lock) || p.Lock == ".") {
		c.fault("lock", "for example assets.lock", "%s is not a clean path below the pipeline's folder", quote(p.Lock))
	}
	c.annotations("annotations", p.Annotations)
	c.within("limits.maxEntries", p.Limits.MaxEntries, 1, math.MaxInt32)
	c.within("budgets.layers", p.Budgets.Layers, 1, 120)
	phases := p.Each()
	if len(phases) == 0 && !c.unsure["phases"] {
		c.lacks("phases", "write at least one of assets, base, code, server", "has no phase")
	}
	for _, np := range phases {
		c.phase(join("phases", string(np.Name)), np, p.Platforms)
	}
	c.overlaps(phases, p.Platforms)
}

func (c *checker) platforms(at string, list []string) {
	switch {
	case !c.written(at):
		c.lacks(at, "for example [linux/amd64, linux/arm64]", "is missing")
	case len(list) == 0:
		c.fault(at, "for example [linux/amd64, linux/arm64]", "is empty")
	}
	c.each(at, list, platformSyntax)
}

func (c *checker) annotations(at string, annotations map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		switch {
		case k == "":
			c.fault(join(at, k), "for example org.opencontainers.image.title", "the key is empty")
		case strings.HasPrefix(k, builder.AnnotationPrefix):
			c.fault(join(at, k), "use another prefix", "%s is for builder itself", builder.AnnotationPrefix)
		}
	}
}

// phase checks one phase; platforms are the pipeline's.
func (c *checker) phase(at string, np NamedPhase, platforms []string) {
	p := np.Phase
	c.optional(join(at, "repository"), p.Repository, repositorySyntax)
	c.optional(join(at, "compression"), p.Compression, codecSyntax)
	c.globs(join(at, "replaces"), p.Replaces)
	c.within(at+".split.layers", p.Split.Layers, 1, 100)
	c.within(at+".split.maxDeltas", p.Split.MaxDeltas, 1, 64)
	sources := at + ".sources"
	if len(p.Sources) == 0 && p.Build == nil {
		c.lacks(sources, "write at least one source, or a build", "has no source")
	}
	for i := range p.Sources {
		s := &sourceChecker{checker: c, at: item(sources, i), phase: np.Name, all: platforms, source: &p.Sources[i]}
		s.check()
	}
	if p.Build != nil {
		b := &buildChecker{checker: c, at: join(at, "build"), phase: np.Name, all: platforms}
		b.check(p.Build)
	}
	c.profiles(at, np.Name, p)
	c.config(join(at, "config"), p.Config)
}

func (c *checker) config(at string, cfg Config) {
	c.optional(join(at, "user"), cfg.User, userSyntax)
	c.optional(join(at, "stopSignal"), cfg.StopSignal, signalSyntax)
	if c.written(join(at, "workingDir")) {
		c.absolute(join(at, "workingDir"), cfg.WorkingDir, "/var/lib/game")
	}
	for i, p := range cfg.Ports {
		c.port(item(join(at, "ports"), i), p)
	}
	for i, v := range cfg.Volumes {
		c.absolute(item(join(at, "volumes"), i), v, "/var/lib/game")
	}
	for _, k := range slices.Sorted(maps.Keys(cfg.Env)) {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			c.fault(join(join(at, "env"), k), "letters, digits and _", "%s is not a variable's name", quote(k))
		}
	}
	for i, list := range [][]string{cfg.Entrypoint, cfg.Cmd} {
		name := join(at, []string{"entrypoint", "cmd"}[i])
		if c.written(name) && len(list) == 0 {
			c.fault(name, "leave it out to keep what the phases below say", "is empty")
		}
	}
	if _, ok := cfg.Labels[""]; ok {
		c.fault(join(join(at, "labels"), ""), "", "the key is empty")
	}
}
